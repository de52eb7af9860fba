"""The pieces of work that are measured, each in the plain way and in ours."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from clara.bench import plain
from clara.bench.measure import Work
from clara.config.evaluation import Generation
from clara.evaluation.answering import Pool
from clara.evaluation.predict import with_memories
from clara.model.adapters import COMPRESSOR, GENERATOR, NO_ADAPTER, QUERY_REASONER
from clara.model.backbone import LoadedBackbone
from clara.model.checkpoint import LoadedCheckpoint
from clara.model.clara import ClaraModel
from clara.model.encoding import encode_texts
from clara.model.store import MemoryStore
from clara.records import Passage, Question
from clara.training.examples import Example
from clara.training.joint import JointObjective
from clara.training.objectives import CompressionObjective, Objective, Totals
from clara.training.question_examples import joint_examples
from clara.training.sampling import Sampler

BATCH_TOKENS = 4096
MICRO_BATCH = 2
TEMPERATURE = 0.02
MSE_WEIGHT = 0.1
MERGED_FLOPS, MERGED_SECONDS = 1 / 1.03, 1 / 1.05
"""A merged generator may cost this much of the bare backbone: the bare one is the plain path here."""


@dataclass(frozen=True)
class Bench:
    """What the works are done on."""

    loaded: LoadedCheckpoint
    bare: LoadedBackbone
    """The same language model without adapters."""
    documents: Sequence[Passage]
    questions: Sequence[Question]
    """With full pools, all of whose documents the store holds."""
    store: Path
    top_k: int = 5
    max_new_tokens: int = 24
    pretraining_examples: int = 8
    joint_questions: int = 2
    answered: int = 6
    """Questions; both ways write all answers together."""


def works(bench: Bench) -> Iterator[Work]:
    """All works in turn; each is to be measured before the next is asked for, which changes the model."""
    model = bench.loaded.model
    yield pretraining(model, bench)
    yield joint(model, bench)
    model.set_learning([])
    model.eval()
    model.adapters.cast(model.backbone.dtype)
    yield compression(model, [passage.document for passage in bench.documents])
    yield encoding_questions(model, [question.question for question in bench.questions])
    yield answering(bench)
    with model.adapters.merged(GENERATOR):
        yield decoding(model, bench)


def compression(model: ClaraModel, texts: Sequence[str]) -> Work:
    """Documents to memories."""

    def ours() -> Tensor:
        return encode_texts(model, [model.tokens.to_compress(text) for text in texts], batch_tokens=BATCH_TOKENS)

    return Work(
        "compressing documents",
        len(texts),
        "documents",
        lambda: plain.compress_all(model, texts),
        ours,
        1.9,
        1.7,
        _cosine_distance,
    )


def encoding_questions(model: ClaraModel, texts: Sequence[str]) -> Work:
    """Questions to query memories."""

    def ours() -> Tensor:
        inputs = [model.tokens.to_compress(text) for text in texts]
        return encode_texts(model, inputs, batch_tokens=BATCH_TOKENS, role=QUERY_REASONER)

    return Work(
        "encoding questions",
        len(texts),
        "questions",
        lambda: plain.questions(model, texts),
        ours,
        8,
        6,
        _cosine_distance,
    )


def pretraining(model: ClaraModel, bench: Bench) -> Work:
    """Forward and backward pass of one pretraining step, documents and answers of the questions."""
    examples = pretraining_examples(model, bench.questions[: bench.pretraining_examples])
    step = Sampler(examples, batch_size=len(examples), seed=0).step(1)
    objective = CompressionObjective(model, mse_weight=MSE_WEIGHT)

    def ours() -> float:
        totals = Totals.of(step)
        return backward_pass(
            model,
            [COMPRESSOR, GENERATOR],
            *(
                partial(_share, objective, step[start : start + MICRO_BATCH], totals)
                for start in range(0, len(step), MICRO_BATCH)
            ),
        )

    def slow() -> float:
        return backward_pass(
            model, [COMPRESSOR, GENERATOR], lambda: plain.pretraining_loss(model, examples, mse_weight=MSE_WEIGHT)
        )

    return Work("a pretraining step", len(examples), "examples", slow, ours, 1.5, 1.4, _relative)


def pretraining_examples(model: ClaraModel, questions: Sequence[Question]) -> list[Example]:
    """One gold document of each question, and the answer as its target."""
    return [
        Example(
            question.id,
            question.id,
            (question.docs[question.pos_index[0]],),
            model.tokens.answer_prompt(question.question, 1),
            model.tokens.target(question.golden_answers[0], max_tokens=32),
        )
        for question in questions
    ]


def joint(model: ClaraModel, bench: Bench) -> Work:
    """Forward and backward pass of one joint step."""
    asked = bench.questions[: bench.joint_questions]
    examples = list(joint_examples(asked, model.tokens, top_k=bench.top_k, max_target_tokens=32))
    objective = JointObjective(
        model,
        store=MemoryStore(bench.store),
        top_k=bench.top_k,
        temperature=(TEMPERATURE, TEMPERATURE),
        selection="straight_through",
    )
    roles = [QUERY_REASONER, GENERATOR]

    def ours() -> float:
        totals = Totals.of(examples)
        return backward_pass(model, roles, partial(_share, objective, examples, totals))

    def slow() -> float:
        return backward_pass(
            model, roles, lambda: plain.joint_loss(model, examples, k=bench.top_k, temperature=TEMPERATURE)
        )

    name = f"a joint step, {len(asked[0].docs)} candidates from the store"
    return Work(name, len(examples), "questions", slow, ours, 15, 12, _relative)


def answering(bench: Bench) -> Work:
    """Questions to answers: from the store, against compressing every candidate."""
    model, asked = bench.loaded.model, list(bench.questions[: bench.answered])
    generation = Generation(max_new_tokens=bench.max_new_tokens, batch_size=32, engine="transformers")

    def ours() -> list[str | None]:
        pools = [Pool("nq", "oracle", asked)]
        rows = with_memories(
            "bench", bench.loaded, bench.store, pools, top_k=bench.top_k, generation=generation, state=None
        )
        return [row.prediction for row in rows]

    def slow() -> list[str | None]:
        texts, documents = [question.question for question in asked], [question.docs for question in asked]
        return list(plain.answers(model, texts, documents, k=bench.top_k, max_new_tokens=bench.max_new_tokens))

    name = f"answering from the store, {len(asked[0].docs)} candidates, top {bench.top_k}"
    return Work(name, len(asked), "questions", slow, ours, 25, 15, _unequal)


def decoding(model: ClaraModel, bench: Bench) -> Work:
    """Tokens after one prompt; the caller has merged the generator. The bare backbone takes the plain path's place."""
    ids = model.tokens.answer_prompt(bench.questions[0].question, None)
    embedded = bench.bare.model.get_input_embeddings()(torch.tensor([ids], device=bench.bare.device))

    def write(backbone: LoadedBackbone) -> Tensor:
        with torch.inference_mode(), model.adapters.using(NO_ADAPTER):
            written: Tensor = backbone.model.generate(
                inputs_embeds=embedded,
                attention_mask=torch.ones(embedded.shape[:2], dtype=torch.long, device=embedded.device),
                min_new_tokens=bench.max_new_tokens,
                max_new_tokens=bench.max_new_tokens,
                do_sample=False,
                use_cache=True,
                eos_token_id=backbone.end_of_turn,
                pad_token_id=backbone.end_of_turn,
            )
        return written

    return Work(
        "decoding, merged generator against the bare backbone",
        bench.max_new_tokens,
        "tokens",
        lambda: write(bench.bare),
        lambda: write(model.backbone),
        MERGED_FLOPS,
        MERGED_SECONDS,
        lambda one, other: 0.0 if one.shape == other.shape else 1.0,
    )


def _share(objective: Objective, examples: Sequence[Example], totals: Totals) -> Tensor:
    return objective(examples, totals, progress=0.0, seed=0).loss


def backward_pass(model: ClaraModel, roles: list[str], *losses: Callable[[], Tensor]) -> float:
    """The sum of the losses, after the backward pass of each."""
    parameters = model.set_learning(roles)
    model.train()
    dtype = model.backbone.dtype
    total = 0.0
    for loss in losses:
        with torch.autocast(model.backbone.device.type, dtype=dtype, enabled=dtype != torch.float32):
            value = loss()
        value.backward()  # type: ignore[no-untyped-call]
        total += float(value.detach())
    for parameter in parameters:
        parameter.grad = None
    return total


def _cosine_distance(one: Tensor, other: Tensor) -> float:
    """Of the pair that is farthest apart."""
    return 1 - float(torch.cosine_similarity(one.flatten(1).float().cpu(), other.flatten(1).float().cpu()).min())


def _relative(one: float, other: float) -> float:
    return abs(one - other) / max(abs(one), 1e-12)


def _unequal(one: Sequence[str | None], other: Sequence[str | None]) -> float:
    """Share of answers that differ; in low precision a close decision can turn with the batch."""
    return sum(a != b for a, b in zip(one, other, strict=True)) / len(one)
