"""The plain path: the slow twin that the fast path must equal and is measured against.

It works as the method's released code does: every text is padded to one width and goes through alone, the head runs at
every position, all hidden states and a cache are kept, documents are compressed anew whenever they are needed,
questions are padded like documents, the selected memories are the product with a dense matrix, the generator's adapter
is not merged, and attention is transformers' own. It is short and obvious on purpose; nothing but tests and benchmarks
calls it.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor

from clara.model.adapters import COMPRESSOR, GENERATOR, QUERY_REASONER
from clara.model.attention import NAME
from clara.model.clara import ClaraModel
from clara.model.memory import MemoryEncoder
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


def memory(model: ClaraModel, text: str, *, role: str = COMPRESSOR, text_tokens: int | None = None) -> PlainMemory:
    """The memory of one text, padded to `text_tokens` (default: the longest document) plus frame and memory tokens."""
    encoder, backbone, added = model.roles[role], model.backbone, model.added
    assert isinstance(encoder, MemoryEncoder)
    item = model.tokens.to_compress(text)
    width = (text_tokens or model.shape.document_max_tokens) + FRAME + added.num_memory
    ids = torch.tensor([item.ids + [0] * (width - len(item.ids))], device=backbone.device)
    mask = torch.tensor([[1] * len(item.ids) + [0] * (width - len(item.ids))], device=backbone.device)
    plain = backbone.model.get_input_embeddings()(ids.clamp(max=added.vocab_size - 1))
    own = encoder.rows[(ids - added.vocab_size).clamp(0, added.num_memory)].to(plain.dtype)
    embedded = torch.where((ids >= added.vocab_size)[..., None], own, plain)
    with model.adapters.using(role):
        found = _whole(model, embedded, mask)
    states = found.hidden_states[-1][0, : len(item.ids)]
    memory_states = states[-added.num_memory :]
    span = range(item.text_start, item.text_start + item.text_length)
    vectors = memory_states
    if encoder.gate is not None:
        weights = encoder.salience[ids[0].clamp(max=added.vocab_size - 1)]
        means = torch.stack([_mean(plain[0], weights, part) for part in _segments(span, added.num_memory)])
        scaled = memory_states.float() / (memory_states.float().pow(2).mean(-1, keepdim=True) + 1e-6).sqrt()
        vectors = (means + encoder.gate * scaled * backbone.embedding_scale).to(plain.dtype)
    vectors = model.turned(role, vectors)
    return PlainMemory(vectors, states[span.start : span.stop].float().mean(0), memory_states.float().mean(0))


def pretraining_loss(model: ClaraModel, examples: Sequence[Example], *, mse_weight: float) -> Tensor:
    """The loss of one pretraining step over examples of one document each."""
    ce, mse = [], []
    for example in examples:
        found = memory(model, example.documents[0])
        ce.append(target_loss(model, example, found.vectors))
        mse.append((found.text_mean - found.memory_mean).pow(2).mean())
    tokens = sum(len(example.target) for example in examples)
    return torch.stack(ce).sum() / tokens + mse_weight * torch.stack(mse).mean()


def joint_loss(
    model: ClaraModel,
    examples: Sequence[Example],
    *,
    k: int,
    temperature: float,
    question_tokens: int = TRAINING_QUESTION_TOKENS,
) -> Tensor:
    """The loss of one joint step; every candidate is compressed anew."""
    sums = []
    for example in examples:
        pool = compress_all(model, example.documents)
        question = memory(model, example.question, role=QUERY_REASONER, text_tokens=question_tokens).vectors
        selected = _dense_selection(_cosines(question, model.compared(pool)), k, temperature).to(
            pool.dtype
        ) @ pool.flatten(1)
        sums.append(target_loss(model, example, selected.reshape(-1, pool.shape[-1])))
    return torch.stack(sums).sum() / sum(len(example.target) for example in examples)


def target_loss(model: ClaraModel, example: Example, vectors: Tensor) -> Tensor:
    """Summed -log p of the target after its prompt, from the logits of every position."""
    ids = example.prompt + example.target
    with model.adapters.using(GENERATOR):
        logits = _whole(model, _prompt(model, ids, vectors), torch.ones(1, len(ids), dtype=torch.long)).logits[0]
    log_p = logits[len(example.prompt) - 1 : -1].float().log_softmax(-1)
    loss: Tensor = -log_p.gather(1, torch.tensor(example.target, device=log_p.device)[:, None]).sum()
    return loss


@torch.no_grad()
def compress_all(model: ClaraModel, documents: Sequence[str]) -> Tensor:
    """Memories of documents, one at a time."""
    return torch.stack([memory(model, text).vectors for text in documents])


@torch.no_grad()
def questions(model: ClaraModel, texts: Sequence[str]) -> Tensor:
    """Query memories, one at a time, each padded like a document."""
    return torch.stack([memory(model, text, role=QUERY_REASONER).vectors for text in texts])


@torch.no_grad()
def answer(model: ClaraModel, question: str, documents: Sequence[str], *, k: int, max_new_tokens: int) -> str:
    """The answer to one question: its candidates are compressed, k are selected, the unmerged generator writes."""
    pool = compress_all(model, documents)
    hard = _dense_selection(_cosines(questions(model, [question])[0], model.compared(pool)), k, 1.0)
    prompt = model.tokens.answer_prompt(question, len(hard))
    embedded = _prompt(model, prompt, (hard.to(pool.dtype) @ pool.flatten(1)).reshape(-1, pool.shape[-1]))
    with model.adapters.using(GENERATOR):
        return write(model, embedded, max_new_tokens=max_new_tokens)


def write(model: ClaraModel, embedded: Tensor, *, max_new_tokens: int) -> str:
    """The greedy answer after one prompt, with the adapter that is at work."""
    backbone = model.backbone
    with _attention_of_transformers(model):
        ids = backbone.model.generate(
            inputs_embeds=embedded,
            attention_mask=torch.ones(embedded.shape[:2], dtype=torch.long, device=embedded.device),
            max_new_tokens=max_new_tokens,
            do_sample=False,
            use_cache=True,
            eos_token_id=backbone.end_of_turn,
            pad_token_id=backbone.end_of_turn,
        )
    text: str = backbone.tokenizer.decode(ids[0], skip_special_tokens=True)
    return text.strip()


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
    """Input embeddings `[1, tokens, dim]` of a prompt; `vectors` stand at its slots in order."""
    table, added = model.backbone.model.get_input_embeddings(), model.added
    tokens = torch.tensor(ids, device=model.backbone.device)
    embedded = table(tokens.clamp(max=added.vocab_size - 1)).clone()
    embedded[tokens == added.sep] = model.generator.rows[0].to(embedded.dtype)
    embedded[tokens == added.slot] = vectors.flatten(0, -2).to(embedded.dtype)
    prompt: Tensor = embedded[None]
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
