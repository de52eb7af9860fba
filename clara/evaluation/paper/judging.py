"""The paper's claims tested on a run: differences on the same questions, by a paired bootstrap."""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from clara.evaluation.bootstrap import Estimate
from clara.evaluation.labels import benchmark_label
from clara.evaluation.paper.claims import Claim
from clara.evaluation.paper.measuring import Difference, SystemScores, measure
from clara.evaluation.paper.values import Place, Values
from clara.evaluation.scoring import AVERAGE, Resampling

Verdict = Literal["holds", "fails", "undecided", "not run"]


class JudgedClaim(NamedTuple):
    """A claim and what a run says of it."""

    claim: Claim
    pairs: list[tuple[str, str]]
    """The systems compared; empty where none of them was run."""
    needed: list[str]
    """The systems that it speaks of; empty where the run's settings make both the same."""
    measured: Difference | None
    """None where it was not run."""
    paper: float | None
    """The same difference of the paper's own numbers, in points; None where it prints none."""
    paper_at: str = ""
    """Of which ratios and benchmarks `paper` is, where these are others than ours."""

    @property
    def estimate(self) -> Estimate | None:
        """The difference in points; None where it was not run."""
        return None if self.measured is None else self.measured.estimate

    @property
    def verdict(self) -> Verdict:
        """Holds or fails where the whole interval lies on one side of the margin."""
        if self.measured is None:
            return "not run"
        return verdict(self.measured.estimate, self.claim.margin, reference=self.measured.reference)


def verdict(estimate: Estimate, margin: float, *, reference: float) -> Verdict:
    """What an interval says of `difference > margin`.

    That little is lost is undecided where there is no more to lose: where `reference`, what is compared with, does not
    exceed the loss that the margin allows.
    """
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
    seeds: Sequence[int] = (),
) -> list[JudgedClaim]:
    """Every claim with its measured difference.

    Args:
        claims: in the order of the scorecard.
        scores: every question's value, of all systems that were run.
        values: table's name → the paper's numbers.
        ratios: of the run.
        resampling: how intervals are made.
        equal: systems that are another under another name (`paper.equal`).
        seeds: further seeds of the run; a claim is judged over those under which both its systems were run.

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
        measured = (
            measure(claim, compared, scores, seeds=seeds, resampling=resampling, equal=equal) if compared else None
        )
        paper, paper_at = _paper_difference(claim, list(asked), values.get(claim.values or "", {}))
        needed = list(dict.fromkeys(name for names in differ.values() for name in names))
        findings.append(JudgedClaim(claim, compared, needed, measured, paper, paper_at))
    return findings


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

    ratio = (*_ratio_in(pair[0]), None)[0]
    pair = (
        claim.paper_first.format(ratio=ratio) if claim.paper_first else pair[0],
        claim.paper_second.format(ratio=ratio) if claim.paper_second else pair[1],
    )

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
