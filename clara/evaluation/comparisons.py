"""Systems compared question by question, and the level that a random order of the documents reaches."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from clara.evaluation.bootstrap import Estimate, generator_for, paired_difference
from clara.evaluation.figures import Chance
from clara.evaluation.labels import system_name
from clara.evaluation.scoring import AVERAGE, Resampling, question_scores
from clara.records import Prediction

COMPARED = ("f1", "cover_em")
"""Answer metrics of the paired comparisons; recall joins them at every cut-off."""

_PERCENT = 100.0
_WORDS = {"above": "higher", "below": "lower", "unclear": "no clear difference"}

_QuestionScores = dict[str, dict[str, dict[str, float]]]
"""Metric → benchmark → question id → value."""


class Comparison(NamedTuple):
    """A CLaRa system against a baseline, macro mean over benchmarks, in percentage points."""

    setting: str
    metric: str
    system: str
    baseline: str
    estimate: Estimate

    @property
    def verdict(self) -> str:
        """Where the interval lies, in words."""
        return _WORDS[self.estimate.verdict]


def compare(
    predictions: Mapping[str, Sequence[Prediction]], recall_cuts: Sequence[int], resampling: Resampling
) -> list[Comparison]:
    """Every CLaRa system against every baseline that answers or ranks, question by question.

    Args:
        predictions: system → its predictions.
        recall_cuts: cut-offs of recall.
        resampling: how intervals are made.

    Raises:
        DataError: two systems were not asked the same questions.
    """
    scores = {system: by_metric(rows, recall_cuts) for system, rows in predictions.items()}
    wanted = [*COMPARED, *(f"recall@{k}" for k in recall_cuts)]
    result = []
    for setting in dict.fromkeys(row.setting for rows in predictions.values() for row in rows):
        for metric in wanted:
            having = [system for system in scores if metric in scores[system].get(setting, {})]
            for system in filter(system_name, having):
                for baseline in (other for other in having if not system_name(other)):
                    first, second = scores[system][setting][metric], scores[baseline][setting][metric]
                    estimate = paired_difference(
                        first,
                        second,
                        samples=resampling.samples,
                        confidence=resampling.confidence,
                        generator=generator_for(resampling.seed, f"{setting}/{metric}"),
                    )
                    value, low, high = (_PERCENT * share for share in estimate[:3])
                    points = Estimate(value, low, high, estimate.n)
                    result.append(Comparison(setting, metric, system, baseline, points))
    return result


def by_metric(rows: Iterable[Prediction], recall_cuts: Sequence[int]) -> dict[str, _QuestionScores]:
    """Setting → metric → benchmark → question id → value."""
    result: dict[str, _QuestionScores] = {}
    for row in rows:
        for metric, value in question_scores(row, recall_cuts).items():
            benchmarks = result.setdefault(row.setting, {}).setdefault(metric, {})
            benchmarks.setdefault(row.benchmark, {})[row.id] = value
    return result


def random_order(predictions: Iterable[Prediction], recall_cuts: Sequence[int]) -> Chance:
    """The recall that a random order of the same pools would reach, in percent: k / pool size, where gold exists."""
    shares: dict[tuple[str, str, str], dict[str, float]] = {}
    for row in predictions:
        if row.ranking is not None and row.pos_index:
            for k in recall_cuts:
                place = (row.setting, f"recall@{k}", row.benchmark)
                shares.setdefault(place, {})[row.id] = min(1.0, k / len(row.ranking))
    levels = {place: _PERCENT * sum(values.values()) / len(values) for place, values in shares.items()}
    for setting, metric in dict.fromkeys(place[:2] for place in shares):
        mine = [level for place, level in levels.items() if place[:2] == (setting, metric)]
        levels[setting, metric, AVERAGE] = sum(mine) / len(mine)
    return levels
