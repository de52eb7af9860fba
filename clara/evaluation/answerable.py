"""Whether a store can answer a question: a probability from its best scores, fitted and measured on questions.

Every question is seen twice: with the whole store, and with its gold documents taken out, when it cannot be answered.
Logistic regression on two numbers, the best score and how far it lies above the mean of the next ones.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from clara.errors import CheckpointError, DataError
from clara.files import text_id
from clara.model.answers import Sure
from clara.records import Record, read_card_file

NEXT = 19
"""Scores after the best whose mean it is compared with."""
RIDGE = 1e-2
"""Keeps the weights finite where the questions separate by themselves."""
STEPS = 50
LEAST = 8
"""Questions that fit and measurement need together."""
Features = tuple[float, float]


class Calibration(Record):
    """What turns scores into a probability, and how well that went on questions that it was not fitted to."""

    compressor_hash: str
    weights: list[float]
    """Of the two numbers, then the constant."""
    threshold: Annotated[float, Field(ge=0, le=1)]
    """Below it a question is not answered; best for the questions of the fit, both kinds weighing the same."""
    fitted: int
    """Questions of the fit."""
    held_out: int
    auroc: float
    """Held out: share of pairs in which the answerable question has the higher probability; 0.5 is chance."""
    answered: float
    """Held out: share of answerable questions at or above the threshold."""
    refused: float
    """Held out: share of unanswerable questions below the threshold."""
    brier: float
    """Held out: mean squared error of the probability; 0.25 is that of always saying one half."""

    def probability(self, scores: Sequence[float]) -> float:
        """Probability that a question is answerable whose passages have these scores, best first."""
        return float(_probabilities(np.array(self.weights), [features(scores)])[0])

    def sure(self, scores: Sequence[float]) -> Sure:
        """The probability, and whether it reaches the threshold. Takes `NEXT` + 1 scores, or all that there are."""
        found = self.probability(scores[: NEXT + 1])
        return Sure(found, found >= self.threshold)


def read_calibration(path: Path, compressor_hash: str) -> Calibration:
    """The calibration in a file.

    Raises:
        CheckpointError: it is none, or was made with another checkpoint.
    """
    found = read_card_file(Calibration, path, "calibration", remedy="make it by clara calibrate")
    if found.compressor_hash != compressor_hash:
        raise CheckpointError(f"{path} was made with another checkpoint; run clara calibrate with this one")
    return found


def features(scores: Sequence[float]) -> Features:
    """The best score, and how far it lies above the mean of the next `NEXT`.

    Raises:
        DataError: there is none.
    """
    if not scores:
        raise DataError("a question has no document left but its gold ones; calibrate on a store that holds others")
    rest = scores[1 : NEXT + 1]
    return scores[0], scores[0] - sum(rest) / len(rest) if rest else 0.0


def calibrate(
    questions: Sequence[str], whole: Sequence[Sequence[float]], without: Sequence[Sequence[float]], *, compressor: str
) -> Calibration:
    """The calibration from one half of the questions, measured on the other; which half is decided by the question.

    Args:
        questions: texts.
        whole: best scores of each with the whole store.
        without: the same without its gold documents.
        compressor: hash of the compressor that the scores are from.

    Raises:
        DataError: there are too few questions.
    """
    halves = [int(text_id(question), 16) % 2 == 1 for question in questions]
    if min(sum(halves), len(halves) - sum(halves)) < LEAST // 2:
        raise DataError(f"expected at least {LEAST} questions with gold documents, got {len(questions)}; add questions")
    pairs = [(features(yes), features(no)) for yes, no in zip(whole, without, strict=True)]
    fit = [pair for pair, held in zip(pairs, halves, strict=True) if not held]
    held = [pair for pair, out in zip(pairs, halves, strict=True) if out]
    weights = _fitted([yes for yes, _ in fit], [no for _, no in fit])
    threshold = _best(_probabilities(weights, [yes for yes, _ in fit]), _probabilities(weights, [no for _, no in fit]))
    yes, no = _probabilities(weights, [yes for yes, _ in held]), _probabilities(weights, [no for _, no in held])
    wins = (yes[:, None] > no).mean() + (yes[:, None] == no).mean() / 2
    return Calibration(
        compressor_hash=compressor,
        weights=[float(weight) for weight in weights],
        threshold=threshold,
        fitted=len(fit),
        held_out=len(held),
        auroc=float(wins),
        answered=float((yes >= threshold).mean()),
        refused=float((no < threshold).mean()),
        brier=float((((1 - yes) ** 2).mean() + (no**2).mean()) / 2),
    )


def _fitted(yes: Sequence[Features], no: Sequence[Features]) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    """Logistic regression by Newton's method, on standardised numbers, given back for the numbers as they are."""
    raw = np.array([*yes, *no])
    wanted = np.array([1.0] * len(yes) + [0.0] * len(no))
    mean, spread = raw.mean(0), np.maximum(raw.std(0), 1e-9)
    rows = np.hstack([(raw - mean) / spread, np.ones((len(raw), 1))])
    weights = np.zeros(3)
    for _ in range(STEPS):
        found = 1 / (1 + np.exp(-rows @ weights))
        gradient = rows.T @ (found - wanted) / len(rows) + RIDGE * weights
        curvature = (rows * (found * (1 - found))[:, None]).T @ rows / len(rows) + RIDGE * np.eye(3)
        weights = weights - np.linalg.solve(curvature, gradient)
    plain = weights[:2] / spread
    return np.array([*plain, weights[2] - plain @ mean])


def _probabilities(
    weights: "np.ndarray[tuple[int], np.dtype[np.float64]]", rows: Sequence[Features]
) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    return np.asarray(1 / (1 + np.exp(-(np.array(rows) @ weights[:2] + weights[2]))))


def _best(
    yes: "np.ndarray[tuple[int], np.dtype[np.float64]]", no: "np.ndarray[tuple[int], np.dtype[np.float64]]"
) -> float:
    """The threshold, between two probabilities, with most right decisions of both kinds; among equals the lowest."""
    values = np.unique(np.concatenate([yes, no]))
    candidates = np.array([0.0, *(values[:-1] + values[1:]) / 2])
    shares = [(yes >= value).mean() + (no < value).mean() for value in candidates]
    return float(candidates[int(np.argmax(shares))])
