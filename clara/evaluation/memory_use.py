"""Memory use: does the generator read its memories? The standard diagnostic of every checkpoint.

The loss of the gold answer is taken in four conditions: with the memories of the question's gold documents (right),
with those of other questions' (wrong, the mean of up to two draws), with no background (none), and with the gold
documents' text (text).
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clara.errors import DataError
from clara.evaluation.bootstrap import Floats, generator_for, interval, resampled_means
from clara.model.clara import ClaraModel
from clara.model.encoding import encode_texts
from clara.progress import Progress
from clara.records import Question

BATCH = 8
COMPRESS_TOKENS = 1024
CONDITIONS = ("right", "wrong", "none", "text")
DRAWS = 2
"""Sets of wrong documents a question: which one is drawn moves the difference as much as which questions are asked."""


def choose(pools: Sequence[Sequence[Question]], count: int) -> list[Question]:
    """`count` questions with gold documents: those with fewest first, in turn from the benchmarks.

    One gold document shows most plainly whether its memory is read, and costs least.
    """
    withgold = [[question for question in pool if question.pos_index] for pool in pools]
    taken = []
    for rank in range(max((len(pool) for pool in withgold), default=0)):
        taken += [pool[rank] for pool in withgold if rank < len(pool)]
    if len(taken) < 2:
        raise DataError(
            f"memory use needs at least two questions with gold documents, found {len(taken)}; add questions"
        )
    return sorted(taken, key=lambda question: len(question.pos_index))[:count]


def about_others(questions: Sequence[Question], learnt: Collection[str]) -> list[Question]:
    """The questions none of whose gold documents is among those that were learnt from."""
    return [
        question for question in questions if not any(question.docs[index] in learnt for index in question.pos_index)
    ]


def measure(
    model: ClaraModel, questions: Sequence[Question], *, seed: int, confidence: float, samples: int
) -> dict[str, Any]:
    """The content of `memory_use.json`: mean losses in nats a token of each question, with bootstrap intervals.

    Args:
        model: compressor and generator are used.
        questions: each with gold documents; the wrong documents are those of the next questions, without its own.
        seed: of the bootstrap.
        confidence: coverage of the intervals.
        samples: resamples behind each.
    """
    return described(question_losses(model, questions), seed=seed, confidence=confidence, samples=samples)


def described(losses: Mapping[str, Floats], *, seed: int, confidence: float, samples: int) -> dict[str, Any]:
    """What `measure` gives, from the losses of each question."""
    return {
        "n": len(losses["right"]),
        "confidence": confidence,
        "losses": {
            condition: _interval(losses[condition], generator_for(seed, condition), confidence, samples)
            for condition in CONDITIONS
        },
        "wrong_minus_right": _interval(_gap(losses), generator_for(seed, "wrong_minus_right"), confidence, samples),
    }


def difference(
    losses: Mapping[str, Floats], others: Mapping[str, Floats], *, seed: int, confidence: float, samples: int
) -> dict[str, dict[str, float]]:
    """How one checkpoint's losses differ from another's on the same questions, with paired bootstrap intervals.

    Args:
        losses: of the one, by condition.
        others: of the other; its values are taken off.
        seed: of the bootstrap.
        confidence: coverage of the intervals.
        samples: resamples behind each.

    Returns:
        `right`, the loss with the right memories (below zero: the one reads them better), and `wrong_minus_right`
        (above zero: the right memories help the one more).
    """
    values = {"right": losses["right"] - others["right"], "wrong_minus_right": _gap(losses) - _gap(others)}
    return {
        name: _interval(column, generator_for(seed, f"difference of {name}"), confidence, samples)
        for name, column in values.items()
    }


@torch.inference_mode()
def question_losses(model: ClaraModel, questions: Sequence[Question]) -> dict[str, Floats]:
    """Loss of each question's answer in nats a token, by condition, those with the shortest documents first.

    Args:
        model: compressor and generator are used.
        questions: as `measure` takes them.
    """
    model.eval()
    right = [tuple(question.docs[index] for index in question.pos_index) for question in questions]
    wrong = [_others(right, number) for number in range(len(right))]
    texts = sorted({text for documents in right for text in documents})
    inputs = [model.tokens.to_compress(text) for text in texts]
    with model.backbone.autocast():
        vectors = encode_texts(model, inputs, batch_tokens=COMPRESS_TOKENS)
    memory = dict(zip(texts, vectors, strict=True))
    losses: dict[str, list[float]] = {condition: [] for condition in CONDITIONS}
    order = sorted(range(len(questions)), key=lambda number: sum(len(text) for text in right[number]))
    with Progress("memory use", total=len(order), unit="questions") as progress:
        for start in range(0, len(order), BATCH):
            numbers = order[start : start + BATCH]
            batch = [questions[number] for number in numbers]
            losses["right"] += _losses(model, batch, [right[number] for number in numbers], memory)
            losses["wrong"] += _wrong_losses(model, batch, [wrong[number] for number in numbers], memory)
            losses["none"] += _losses(model, batch, [() for _ in numbers], None)
            losses["text"] += _losses(model, batch, [right[number] for number in numbers], None)
            progress.update(start + len(numbers))
    return {condition: np.asarray(values, dtype=np.float64) for condition, values in losses.items()}


def _gap(losses: Mapping[str, Floats]) -> Floats:
    return losses["wrong"] - losses["right"]


def _interval(values: Any, chance: np.random.Generator, confidence: float, samples: int) -> dict[str, float]:
    column = np.asarray(values, dtype=np.float64)[:, None]
    low, high = interval(resampled_means(column, samples, chance), confidence)[:, 0]
    return {"mean": round(float(column.mean()), 6), "low": round(float(low), 6), "high": round(float(high), 6)}


def _others(right: Sequence[tuple[str, ...]], number: int) -> list[tuple[str, ...]]:
    """Up to DRAWS sets of other questions' gold documents, none of them its own, each as many as it has."""
    own = right[number]
    found: list[str] = []
    for step in range(1, len(right)):
        if len(found) >= DRAWS * len(own):
            break
        for text in right[(number + step) % len(right)]:
            if text not in own and text not in found:
                found.append(text)
    draws = min(DRAWS, len(found) // len(own))
    if draws == 0:
        raise DataError("memory use needs questions about different documents; add questions")
    return [tuple(found[draw * len(own) : (draw + 1) * len(own)]) for draw in range(draws)]


def _wrong_losses(
    model: ClaraModel,
    batch: Sequence[Question],
    draws: Sequence[Sequence[tuple[str, ...]]],
    memory: dict[str, Tensor],
) -> list[float]:
    """Mean over each question's draws."""
    repeated = [question for question, sets in zip(batch, draws, strict=True) for _ in sets]
    losses = iter(_losses(model, repeated, [documents for sets in draws for documents in sets], memory))
    return [float(np.mean([next(losses) for _ in sets])) for sets in draws]


def _losses(
    model: ClaraModel, batch: Sequence[Question], documents: Sequence[tuple[str, ...]], memory: dict[str, Tensor] | None
) -> list[float]:
    """Mean loss a token of each answer; the documents go in as memories, or as text where `memory` is None."""
    prompts = []
    for question, texts in zip(batch, documents, strict=True):
        background = len(texts) if memory is not None else (list(texts) or None)
        prompts.append(model.tokens.answer_prompt(question.question, background))
    targets = [model.tokens.target(question.golden_answers[0], max_tokens=64) for question in batch]
    vectors = None
    if memory is not None:
        vectors = torch.stack([memory[text] for texts in documents for text in texts]).to(model.backbone.device)
    with model.backbone.autocast():
        found = model.losses(prompts, targets, vectors)
    losses: list[float] = (found.sums / found.counts).tolist()
    return losses
