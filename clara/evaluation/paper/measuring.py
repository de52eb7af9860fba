"""The difference that a claim speaks of, measured on a run: over its ratios and over its seeds."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from clara.config.base import under_seed
from clara.errors import DataError
from clara.evaluation.bootstrap import Estimate, generator_for, paired_difference
from clara.evaluation.paper.claims import Claim
from clara.evaluation.paper.equal import NAME
from clara.evaluation.scoring import Resampling

Pair = tuple[str, str]
QuestionScores = Mapping[str, Mapping[str, float]]
"""Benchmark → question id → value, 0 to 1."""
SystemScores = Mapping[tuple[str, str, str], QuestionScores]
"""(system, setting, metric) → its questions."""

_PERCENT = 100.0


class Measured(NamedTuple):
    """`first` minus `second`, in points."""

    estimate: Estimate
    by_benchmark: dict[str, float]
    by_seed: dict[int, float]
    """Under each seed of the run that has both systems at all ratios compared; empty where there is only the first."""
    reference: float
    """Macro mean of `second`."""


def measure(
    claim: Claim, pairs: Sequence[Pair], scores: SystemScores, seeds: Sequence[int], resampling: Resampling
) -> Measured:
    """Each question's mean over ratios and seeds, compared by a paired bootstrap that knows how the seeds scatter.

    Args:
        claim: gives setting and metric.
        pairs: the systems at each ratio, all of which have scores; at least one pair.
        scores: every question's value, of all systems that were run.
        seeds: further seeds of the run.
        resampling: how intervals are made; its seed is the run's first.

    Raises:
        DataError: two systems that are compared were not asked the same questions.
    """

    def has(pair: Pair) -> bool:
        return all((name, claim.setting, claim.metric) in scores for name in pair)

    further = {seed: under(pairs, seed) for seed in seeds}
    whole = {seed: named for seed, named in further.items() if named != list(pairs) and all(map(has, named))}
    trainings = {resampling.seed: list(pairs), **whole}
    sides = {
        seed: [_mean([scores[pair[side], claim.setting, claim.metric] for pair in named]) for side in (0, 1)]
        for seed, named in trainings.items()
    }
    first, second = (_mean([both[side] for both in sides.values()]) for side in (0, 1))
    by_seed = {seed: _PERCENT * (_macro(a) - _macro(b)) for seed, (a, b) in sides.items()} if whole else {}
    share = paired_difference(
        first,
        second,
        samples=resampling.samples,
        confidence=resampling.confidence,
        generator=generator_for(resampling.seed, claim.name),
        of_trainings=[value / _PERCENT for value in by_seed.values()],
    )
    return Measured(
        Estimate(_PERCENT * share.value, _PERCENT * share.low, _PERCENT * share.high, share.n),
        {
            name: _PERCENT * sum(first[name][id_] - second[name][id_] for id_ in first[name]) / len(first[name])
            for name in first
        },
        by_seed,
        _PERCENT * _macro(second),
    )


def under(pairs: Sequence[Pair], seed: int) -> list[Pair]:
    """The same systems under a further seed; what is not trained in the run is the same under all."""
    named = [tuple(under_seed(name, seed) if NAME.fullmatch(name) else name for name in pair) for pair in pairs]
    return [(first, second) for first, second in named]


def _macro(scores: QuestionScores) -> float:
    return sum(sum(of.values()) / len(of) for of in scores.values()) / len(scores)


def _mean(systems: Sequence[QuestionScores]) -> dict[str, dict[str, float]]:
    """Each question's mean over the systems, which must have been asked the same."""
    asked = [{(name, id_) for name, values in system.items() for id_ in values} for system in systems]
    if lone := sorted(asked[0].union(*asked) - asked[0].intersection(*asked)):
        raise DataError(
            "a claim takes each question's mean over ratios and seeds, but "
            f"{len(lone)} questions were not asked at all of them, for example {lone[0][1]} of {lone[0][0]}; predict "
            "every ratio on the same candidates"
        )
    return {
        name: {id_: sum(system[name][id_] for system in systems) / len(systems) for id_ in values}
        for name, values in systems[0].items()
    }
