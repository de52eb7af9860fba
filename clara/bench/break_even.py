"""When compression pays: answers from memories against answers from the documents' text."""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from clara.bench.measure import seconds
from clara.model.adapters import GENERATOR, QUERY_REASONER
from clara.model.backbone import LoadedBackbone
from clara.model.clara import ClaraModel
from clara.model.encoding import encode_texts
from clara.model.generator import generate
from clara.tokens import CompressorInput

BATCH_TOKENS = 4096


@dataclass(frozen=True)
class BreakEven:
    """What one answer costs in both ways, in seconds."""

    document_tokens: int
    documents_read: int
    batch: int
    compress: float
    """Of one document, once."""
    from_memories: float
    """Of one answer, the question's encoding included."""
    from_text: float
    answers_per_document: float | None
    """Answers that each document must serve before its compression has paid; None where it never does."""


def break_even(
    model: ClaraModel, bare: LoadedBackbone, *, document_tokens: int, batch: int, top_k: int, max_new_tokens: int
) -> BreakEven:
    """Measures a batch of made-up questions of twenty tokens on documents of one length; content costs nothing.

    Args:
        model: in evaluation mode.
        bare: the same language model without adapters, for text.
        document_tokens: text tokens of a document.
        batch: questions answered together.
        top_k: documents that an answer reads.
        max_new_tokens: tokens of every answer.
    """
    chance = torch.Generator().manual_seed(0)
    words = torch.randint(1000, 2000, (batch, 20 + document_tokens), generator=chance).tolist()
    asked = [row[:20] for row in words]
    text = [row[20:] for row in words]
    documents = [_framed(model, row) for row in text]
    cost = _seconds(lambda: encode_texts(model, documents[:8], batch_tokens=BATCH_TOKENS)) / len(documents[:8])
    vectors = encode_texts(model, documents[:1], batch_tokens=BATCH_TOKENS).repeat(batch * top_k, 1, 1)
    frame = model.tokens.answer_prompt("", None)
    middle = len(frame) // 2

    def prompts(background: Sequence[list[int]]) -> list[list[int]]:
        return [frame[:middle] + part + own + frame[middle:] for part, own in zip(background, asked, strict=True)]

    def from_memories() -> object:
        slots = [model.added.document_slot() * top_k] * batch
        return generate(
            model.backbone, model.generator, prompts(slots), vectors, model.added, max_new_tokens=max_new_tokens
        )

    def from_text() -> object:
        return generate(
            bare, None, prompts([row * top_k for row in text]), None, model.added, max_new_tokens=max_new_tokens
        )

    questions = [_framed(model, row) for row in asked]
    ours = _seconds(lambda: encode_texts(model, questions, batch_tokens=BATCH_TOKENS, role=QUERY_REASONER)) / batch
    with model.adapters.merged(GENERATOR):  # once for all answers of a run
        ours += _seconds(from_memories) / batch
    theirs = _seconds(from_text) / batch
    saved = theirs - ours
    answers = top_k * cost / saved if saved > 0 else math.inf
    return BreakEven(
        document_tokens, top_k, batch, cost, ours, theirs, round(answers, 2) if math.isfinite(answers) else None
    )


def _framed(model: ClaraModel, ids: list[int]) -> CompressorInput:
    return CompressorInput([model.added.enc, *ids, model.tokens.end_of_turn, *model.added.memory], 1, len(ids))


def _seconds(work: Callable[[], object]) -> float:
    """Median of three, after one that makes the products of these shapes ready."""
    work()
    return statistics.median(seconds(work)[0] for _ in range(3))
