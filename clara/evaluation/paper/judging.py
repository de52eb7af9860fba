"""The paper's claims tested on a run: differences on the same questions, by a paired bootstrap."""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from clara.errors import DataError
from clara.evaluation.bootstrap import Estimate, generator_for, paired_difference
from clara.evaluation.labels import benchmark_label
from clara.evaluation.paper.claims import Claim
from clara.evaluation.paper.values import Place, Values
from clara.evaluation.scoring import AVERAGE, Resampling

Verdict = Literal["holds", "fails", "undecided", "not run"]
QuestionScores = Mapping[str, Mapping[str, float]]
"""Benchmark → question id → value, 0 to 1."""
SystemScores = Mapping[tuple[str, str, str], QuestionScores]
"""(system, setting, metric) → its questions."""

_PERCENT = 100.0


class Finding(NamedTuple):
    """A claim and what a run says of it."""

    claim: Claim
    pairs: list[tuple[str, str]]
    """The systems compared; empty where none of them was run."""
    needed: list[str]
    """The systems that it speaks of; empty where the run's settings make both the same."""
    estimate: Estimate | None
    """Points; None where it was not run."""
    by_benchmark: dict[str, float]
    """Points."""
    paper: float | None
    """The same difference of the paper's own numbers, in points; None where it prints none."""
    paper_at: str = ""
    """Of which ratios and benchmarks `paper` is, where these are others than ours."""
    reference: float = 0.0
    """Macro mean of `second`, in points."""

    @property
    def verdict(self) -> Verdict:
        """Holds or fails where the whole interval lies on one side of the margin."""
        return verdict(self.estimate, self.claim.margin, reference=self.reference)


def verdict(estimate: Estimate | None, margin: float, *, reference: float) -> Verdict:
    """What an interval says of `difference > margin`.

    That little is lost is undecided where there is no more to lose: where `reference`, what is compared with, does not
    exceed the loss that the margin allows.
    """
    if estimate is None:
        return "not run"
    if margin < 0 and reference <= -margin:
        return "undecided"
    if estimate.low > margin:
        return "holds"
    return "fails" if estimate.high < margin else "undecided"


def judge(
    claims: Sequence[Claim],
    scores: SystemScores,
    values: Mapping[str, Values],
    *,
    ratios: Sequence[int],
    resampling: Resampling,
    equal: Mapping[str, str] | None = None,
) -> list[Finding]:
    """Every claim with its measured difference.

    Args:
        claims: in the order of the scorecard.
        scores: every question's value, of all systems that were run.
        values: table's name → the paper's numbers.
        ratios: of the run.
        resampling: how intervals are made.
        equal: systems that are another under another name (`paper.equal`).

    Raises:
        DataError: two systems that are compared were not asked the same questions.
    """
    equal = equal or {}
    findings = []
    for claim in claims:
        wanted = claim.pairs(ratios) or claim.pairs([claim.ratios.at_least])
        run = {pair: (equal.get(pair[0], pair[0]), equal.get(pair[1], pair[1])) for pair in wanted}
        differ = {pair: names for pair, names in run.items() if names[0] != names[1]}
        asked = {
            pair: names
            for pair, names in differ.items()
            if all((name, claim.setting, claim.metric) in scores for name in names)
        }
        compared = list(asked.values())
        estimate, by_benchmark, reference = None, {}, 0.0
        if compared:
            first, second = (
                _mean([scores[pair[side], claim.setting, claim.metric] for pair in compared]) for side in (0, 1)
            )
            share = paired_difference(
                first,
                second,
                samples=resampling.samples,
                confidence=resampling.confidence,
                generator=generator_for(resampling.seed, claim.name),
            )
            estimate = Estimate(_PERCENT * share.value, _PERCENT * share.low, _PERCENT * share.high, share.n)
            by_benchmark = {
                name: _PERCENT * sum(first[name][id_] - second[name][id_] for id_ in first[name]) / len(first[name])
                for name in first
            }
            reference = _PERCENT * sum(sum(of.values()) / len(of) for of in second.values()) / len(second)
        paper, paper_at = _paper_difference(claim, list(asked), values.get(claim.values or "", {}))
        needed = list(dict.fromkeys(name for names in differ.values() for name in names))
        findings.append(Finding(claim, compared, needed, estimate, by_benchmark, paper, paper_at, reference))
    return findings


def _mean(systems: Sequence[QuestionScores]) -> dict[str, dict[str, float]]:
    """Each question's mean over the systems, which must have been asked the same."""
    asked = [{(name, id_) for name, values in system.items() for id_ in values} for system in systems]
    if lone := sorted(asked[0].union(*asked) - asked[0].intersection(*asked)):
        raise DataError(
            f"a claim takes each question's mean over ratios, but {len(lone)} questions were not asked at all of them, "
            f"for example {lone[0][1]} of {lone[0][0]}; predict every ratio on the same candidates"
        )
    return {
        name: {id_: sum(system[name][id_] for system in systems) / len(systems) for id_ in values}
        for name, values in systems[0].items()
    }


def _paper_difference(claim: Claim, compared: Sequence[tuple[str, str]], values: Values) -> tuple[float | None, str]:
    """The mean of the differences of the paper's cells: of the pairs compared, else of all that the claim allows.

    And of which ratios and benchmarks it is, where these are not the pairs compared and the average.
    """
    named = {int(part) for place in values for part in _ratio_in(place.system)}
    for pairs in (compared, claim.pairs(named)):
        found = {pair: difference for pair in pairs if (difference := _difference(claim, pair, values)) is not None}
        if found:
            parts = []
            if {*found} != {*compared} and "{ratio}" in claim.first + claim.second:
                parts.append(f"CR {', '.join(_ratio_in('-'.join(pair))[0] for pair in found)}")
            benchmarks = sorted({name for _, names in found.values() for name in names} - {AVERAGE})
            parts += [", ".join(map(benchmark_label, benchmarks))] if benchmarks else []
            return sum(value for value, _ in found.values()) / len(found), "; ".join(parts)
    return None, ""


def _ratio_in(system: str) -> list[str]:
    return [part.removeprefix("cr") for part in system.split("-") if part.startswith("cr") and part[2:].isdigit()]


def _difference(claim: Claim, pair: tuple[str, str], values: Values) -> tuple[float, list[str]] | None:
    """Of the average if both print it, else over the benchmarks that both print; and over which."""

    if claim.paper_first is not None:
        pair = (claim.paper_first.format(ratio=(*_ratio_in(pair[0]), None)[0]), pair[1])

    def at(system: str, benchmark: str) -> float | None:
        value = values.get(Place(system, claim.setting, benchmark, claim.metric))
        return None if value is None else value.value

    benchmarks = sorted({place.benchmark for place in values} - {AVERAGE})
    for names in ([AVERAGE], benchmarks):
        both = {name: (at(pair[0], name), at(pair[1], name)) for name in names}
        differences = {name: a - b for name, (a, b) in both.items() if a is not None and b is not None}
        if differences:
            return sum(differences.values()) / len(differences), [*differences]
    return None
