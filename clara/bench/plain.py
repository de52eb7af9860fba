"""The plain path: the slow twin that the fast path must equal and is measured against.

It works as the method's released code does: the texts of a call are padded to one width and go through as one batch,
the head runs at every position, all hidden states and a cache are kept, documents are compressed anew whenever they are
needed, questions are padded like documents, all answers are written together, the selected memories are the product
with a dense matrix, the generator's adapter is not merged, and attention is transformers' own. One thing is less: each
question's candidates are a batch of their own, because the logits of a call's hundreds would take gigabytes. It is
short and obvious on purpose; nothing but tests and benchmarks calls it.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from clara.model.adapters import COMPRESSOR, GENERATOR, QUERY_REASONER
from clara.model.attention import NAME
from clara.model.clara import ClaraModel
from clara.model.memory import MemoryEncoder
from clara.tokens import CompressorInput
from clara.training.examples import Example

FRAME = 3
"""ENC, BOS and EOS around a text."""
TRAINING_QUESTION_TOKENS = 1024
"""To which the released code pads a question in joint training (its longest prompt)."""


class PlainMemory(NamedTuple):
    """Memory of one text, `[memory, dim]`, and the two means of the alignment loss, `[dim]`."""

    vectors: Tensor
    text_mean: Tensor
    memory_mean: Tensor


def memories(
    model: ClaraModel, texts: Sequence[str], *, role: str = COMPRESSOR, text_tokens: int | None = None
) -> list[PlainMemory]:
    """The memories of texts, each padded to `text_tokens` (default: the longest document) plus frame and memory."""
    encoder, backbone, added = model.roles[role], model.backbone, model.added
    assert isinstance(encoder, MemoryEncoder)
    items = [model.tokens.to_compress(text) for text in texts]
    width = (text_tokens or model.shape.document_max_tokens) + FRAME + added.num_memory
    ids = torch.tensor([item.ids + [0] * (width - len(item.ids)) for item in items], device=backbone.device)
    mask = torch.tensor([[1] * len(item.ids) + [0] * (width - len(item.ids)) for item in items])
    plain = backbone.model.get_input_embeddings()(ids.clamp(max=added.vocab_size - 1))
    own = encoder.rows[(ids - added.vocab_size).clamp(0, added.num_memory)].to(plain.dtype)
    with model.adapters.using(role):
        found = _whole(model, torch.where((ids >= added.vocab_size)[..., None], own, plain), mask)
    return [
        _memory(model, role, item, ids[row], plain[row], found.hidden_states[-1][row, : len(item.ids)])
        for row, item in enumerate(items)
    ]


def _memory(
    model: ClaraModel, role: str, item: CompressorInput, ids: Tensor, plain: Tensor, states: Tensor
) -> PlainMemory:
    """The memory of one text from the states of its tokens."""
    encoder, count = model.roles[role], model.added.num_memory
    assert isinstance(encoder, MemoryEncoder)
    span = range(item.text_start, item.text_start + item.text_length)
    vectors = memory_states = states[-count:]
    if encoder.gate is not None:
        weights = encoder.salience[ids.clamp(max=model.added.vocab_size - 1)]
        means = torch.stack([_mean(plain, weights, part) for part in _segments(span, count)])
        scaled = memory_states.float() / (memory_states.float().pow(2).mean(-1, keepdim=True) + 1e-6).sqrt()
        vectors = (means + encoder.gate * scaled * model.backbone.embedding_scale).to(plain.dtype)
    vectors = model.turned(role, vectors)
    return PlainMemory(vectors, states[span.start : span.stop].float().mean(0), memory_states.float().mean(0))


def pretraining_loss(model: ClaraModel, examples: Sequence[Example], *, mse_weight: float) -> Tensor:
    """The loss of one pretraining step over examples of one document each."""
    found = memories(model, [example.documents[0] for example in examples])
    mse = [(one.text_mean - one.memory_mean).pow(2).mean() for one in found]
    return target_loss(model, examples, [one.vectors for one in found]) + mse_weight * torch.stack(mse).mean()


def joint_loss(
    model: ClaraModel,
    examples: Sequence[Example],
    *,
    k: int,
    temperature: float,
    question_tokens: int = TRAINING_QUESTION_TOKENS,
) -> Tensor:
    """The loss of one joint step; every candidate is compressed anew."""
    asked = memories(
        model, [example.question for example in examples], role=QUERY_REASONER, text_tokens=question_tokens
    )
    selected = []
    for example, question in zip(examples, asked, strict=True):
        pool = compress_all(model, example.documents)
        rows = _dense_selection(_cosines(question.vectors, model.compared(pool)), k, temperature)
        selected.append((rows.to(pool.dtype) @ pool.flatten(1)).reshape(-1, pool.shape[-1]))
    return target_loss(model, examples, selected)


def target_loss(model: ClaraModel, examples: Sequence[Example], vectors: Sequence[Tensor]) -> Tensor:
    """Mean -log p of the targets' tokens after their prompts, from the logits of every position."""
    ids = [example.prompt + example.target for example in examples]
    prompts = [_prompt(model, each, own) for each, own in zip(ids, vectors, strict=True)]
    width = max(map(len, ids))
    embedded = torch.stack([pad(prompt, (0, 0, 0, width - len(prompt))) for prompt in prompts])
    mask = torch.tensor([[1] * len(each) + [0] * (width - len(each)) for each in ids])
    with model.adapters.using(GENERATOR):
        logits = _whole(model, embedded, mask).logits
    sums = []
    for row, example in enumerate(examples):
        log_p = logits[row, len(example.prompt) - 1 : len(ids[row]) - 1].float().log_softmax(-1)
        sums.append(-log_p.gather(1, torch.tensor(example.target, device=log_p.device)[:, None]).sum())
    return torch.stack(sums).sum() / sum(len(example.target) for example in examples)


@torch.no_grad()
def compress_all(model: ClaraModel, documents: Sequence[str]) -> Tensor:
    """Memories of documents, as one batch."""
    return torch.stack([found.vectors for found in memories(model, documents)])


@torch.no_grad()
def questions(model: ClaraModel, texts: Sequence[str]) -> Tensor:
    """Query memories, as one batch, each padded like a document."""
    return torch.stack([found.vectors for found in memories(model, texts, role=QUERY_REASONER)])


@torch.no_grad()
def answers(
    model: ClaraModel, asked: Sequence[str], documents: Sequence[Sequence[str]], *, k: int, max_new_tokens: int
) -> list[str]:
    """The answers to questions: candidates are compressed, k are selected, the unmerged generator writes all at once.

    Args:
        model: with a query reasoner.
        asked: the questions.
        documents: the candidates of each.
        k: documents that an answer reads.
        max_new_tokens: of an answer.
    """
    prompts = []
    for question, found, candidates in zip(asked, questions(model, asked), documents, strict=True):
        pool = compress_all(model, candidates)
        hard = _dense_selection(_cosines(found, model.compared(pool)), k, 1.0)
        chosen = (hard.to(pool.dtype) @ pool.flatten(1)).reshape(-1, pool.shape[-1])
        prompts.append(_prompt(model, model.tokens.answer_prompt(question, len(hard)), chosen))
    with model.adapters.using(GENERATOR):
        return _written(model, prompts, max_new_tokens=max_new_tokens)


def _written(model: ClaraModel, prompts: Sequence[Tensor], *, max_new_tokens: int) -> list[str]:
    """The greedy answers after prompts, padded on the left, with the adapter that is at work."""
    backbone = model.backbone
    width = max(map(len, prompts))
    embedded = torch.stack([pad(prompt, (0, 0, width - len(prompt), 0)) for prompt in prompts])
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    with _attention_of_transformers(model):
        ids = backbone.model.generate(
            inputs_embeds=embedded,
            attention_mask=mask.to(embedded.device),
            max_new_tokens=max_new_tokens,
            do_sample=False,
            use_cache=True,
            eos_token_id=backbone.end_of_turn,
            pad_token_id=backbone.end_of_turn,
        )
    return [backbone.tokenizer.decode(row, skip_special_tokens=True).strip() for row in ids]


def _whole(model: ClaraModel, embedded: Tensor, mask: Tensor) -> Any:
    """One pass of body and head, with all that the released code keeps."""
    mask = mask.to(embedded.device)
    with _attention_of_transformers(model):
        return model.backbone.model(
            inputs_embeds=embedded, attention_mask=mask, output_hidden_states=True, use_cache=True
        )


@contextmanager
def _attention_of_transformers(model: ClaraModel) -> Iterator[None]:
    """Runs the block without our own attention, where the model has it."""
    language_model = model.backbone.model
    before = language_model.config.get_text_config()._attn_implementation
    if before == NAME:
        language_model.set_attn_implementation("sdpa")
    try:
        yield
    finally:
        language_model.set_attn_implementation(before)


def _prompt(model: ClaraModel, ids: list[int], vectors: Tensor) -> Tensor:
    """Input embeddings `[tokens, dim]` of a prompt; `vectors` stand at its slots in order."""
    table, added = model.backbone.model.get_input_embeddings(), model.added
    tokens = torch.tensor(ids, device=model.backbone.device)
    embedded = table(tokens.clamp(max=added.vocab_size - 1)).clone()
    embedded[tokens == added.sep] = model.generator.rows[0].to(embedded.dtype)
    embedded[tokens == added.slot] = vectors.flatten(0, -2).to(embedded.dtype)
    prompt: Tensor = embedded
    return prompt


def _cosines(question: Tensor, pool: Tensor) -> Tensor:
    """Cosine of a flattened query memory with each document's."""
    return torch.cosine_similarity(question.flatten().float()[None], pool.flatten(1).float(), dim=-1)


def _dense_selection(scores: Tensor, k: int, temperature: float) -> Tensor:
    """Straight-through rows `[k, candidates]`: hard in value, soft in derivative (Algorithm 1, with a true mask)."""
    rows, logits = [], scores / temperature
    for _ in range(min(k, len(scores))):
        soft = logits.softmax(-1)
        hard = torch.nn.functional.one_hot(logits.argmax(), len(scores)).to(soft.dtype)
        rows.append(hard - soft.detach() + soft)
        logits = logits.masked_fill(hard.bool(), -torch.inf)
    return torch.stack(rows)


def _segments(span: range, count: int) -> list[range]:
    """The text's positions in `count` nearly equal parts; neighbours share where there are too few."""
    size = len(span)
    bounds = [(number * size // count, -(-(number + 1) * size // count)) for number in range(count)]
    return [span[first:last] for first, last in bounds]


def _mean(values: Tensor, weights: Tensor, part: range) -> Tensor:
    weight = weights[part.start : part.stop, None].float()
    return (values[part.start : part.stop].float() * weight).sum(0) / weight.sum().clamp(min=1e-6)
