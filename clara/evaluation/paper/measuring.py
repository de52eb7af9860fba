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
_RIGHT = 1e-9
"""What rounding leaves of an interval without width."""


class Difference(NamedTuple):
    """`first` minus `second`, in points."""

    estimate: Estimate
    by_benchmark: dict[str, float]
    by_seed: dict[int, float]
    """Under each seed of the run that has both systems at all ratios compared; empty where there is only the first."""
    reference: float
    """Macro mean of `second`."""
    lacking: list[str]
    """Systems under further seeds, for want of which a seed is left out."""


def measure(
    claim: Claim,
    pairs: Sequence[Pair],
    scores: SystemScores,
    *,
    seeds: Sequence[int],
    resampling: Resampling,
    equal: Mapping[str, str],
) -> Difference:
    """Each question's mean over ratios and seeds, compared by a paired bootstrap that knows how the seeds scatter.

    Args:
        claim: gives setting and metric.
        pairs: the systems at each ratio, all of which have scores; at least one pair.
        scores: every question's value, of all systems that were run.
        seeds: further seeds of the run.
        resampling: how intervals are made; its seed is the run's first.
        equal: systems that are another under another name, those under further seeds among them.

    Raises:
        DataError: two systems that are compared were not asked the same questions.
    """

    further = {seed: under(pairs, seed, equal) for seed in seeds if under(pairs, seed, {}) != list(pairs)}
    lacking = {
        seed: [name for pair in named for name in pair if (name, claim.setting, claim.metric) not in scores]
        for seed, named in further.items()
    }
    whole = {seed: named for seed, named in further.items() if not lacking[seed]}
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
    if share.high - share.low < _RIGHT:
        share = _widened(share, resampling.confidence)
    return Difference(
        Estimate(_PERCENT * share.value, _PERCENT * share.low, _PERCENT * share.high, share.n),
        {
            name: _PERCENT * sum(first[name][id_] - second[name][id_] for id_ in first[name]) / len(first[name])
            for name in first
        },
        by_seed,
        _PERCENT * _macro(second),
        list(dict.fromkeys(name for names in lacking.values() for name in names)),
    )


def under(pairs: Sequence[Pair], seed: int, equal: Mapping[str, str]) -> list[Pair]:
    """The same systems under a further seed; what is not one of the run's variants is the same under all."""

    def named(system: str) -> str:
        seeded = under_seed(system, seed) if NAME.fullmatch(system) else system
        return equal.get(seeded, seeded)

    return [(named(first), named(second)) for first, second in pairs]


def _widened(share: Estimate, confidence: float) -> Estimate:
    """An interval of questions that all differ alike, which resampling cannot tell from a certainty.

    By the rule of three: where n were alike, so many of others may be unlike that n alike had a chance of
    1 - `confidence`, and these may differ by all that a score can.
    """
    unlike = 1 - (1 - confidence) ** (1 / share.n)
    return share._replace(low=share.low - unlike * (1 + share.low), high=share.high + unlike * (1 - share.high))


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
