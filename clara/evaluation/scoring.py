"""From a file of predictions to a file of metrics; redone in seconds, without any model."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from clara.errors import DataError
from clara.evaluation.bootstrap import Floats, generator_for, interval, resampled_means
from clara.evaluation.labels import is_main
from clara.evaluation.metrics import answer_scores, recall_at
from clara.files import write_json
from clara.records import Prediction
from clara.row_files import read_rows

AVERAGE = "average"
"""Benchmark name of the macro mean over benchmarks."""

_PERCENT = 100.0
_DECIMALS = 6
"""Of a percent; what lies beyond depends on the order in which a processor adds."""


class Resampling(NamedTuple):
    """How intervals are made."""

    samples: int
    confidence: float
    """Coverage."""
    seed: int


class Row(NamedTuple):
    """A metric of one benchmark in one setting, in percent."""

    benchmark: str
    setting: str
    metric: str
    value: float
    low: float
    high: float
    n: int
    """Questions behind it; recall counts those that have gold documents."""


class _Scored(NamedTuple):
    """One metric on one benchmark: its mean and the resampled means, for the average over benchmarks."""

    value: float
    means: Floats
    n: int


def score_file(predictions: Path, metrics: Path, *, recall_cuts: Sequence[int], resampling: Resampling) -> None:
    """Scores `predictions` into `metrics`, in the form of docs/pipeline.md.

    Raises:
        DataError: the file is empty, holds several systems, or a question twice.
    """
    rows = read_rows(Prediction, predictions)
    check(rows, str(predictions))
    scored = score(rows, recall_cuts=recall_cuts, resampling=resampling)
    write_json(
        metrics,
        {
            "system": rows[0].system,
            "confidence": resampling.confidence,
            AVERAGE: averages(scored),
            "rows": [row._asdict() for row in scored],
        },
    )


def averages(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """Setting → main metric → macro mean in percent: `dvc metrics` reads mappings, and passes over `rows`."""
    found: dict[str, dict[str, float]] = {}
    for row in rows:
        if row.benchmark == AVERAGE and is_main(row.metric):
            found.setdefault(row.setting, {})[row.metric] = row.value
    return found


def check(rows: Sequence[Prediction], where: str) -> None:
    """Refuses predictions that cannot be scored as one system.

    Raises:
        DataError: says what is wrong and names the first such row.
    """
    if not rows:
        raise DataError(f"{where} holds no predictions; run the step that makes it again")
    systems = sorted({row.system for row in rows})
    if len(systems) > 1:
        raise DataError(f"{where} mixes the systems {', '.join(systems)}; score one file a system")
    seen: set[tuple[str, str, str]] = set()
    for number, row in enumerate(rows, 1):
        key = (row.benchmark, row.setting, row.id)
        if key in seen:
            raise DataError(
                f"{where} row {number} repeats question {row.id} of {row.benchmark} ({row.setting}); remove one of them"
            )
        seen.add(key)
        if not row.golden_answers:
            raise DataError(f"{where} row {number} (question {row.id}) has no gold answer; give it one or remove it")
        if (row.prediction is None) != (rows[0].prediction is None) or (row.ranking is None) != (
            rows[0].ranking is None
        ):
            raise DataError(
                f"{where} row {number} (question {row.id}) answers or ranks where the first row does not, or the other "
                "way round; predict again, so that a system does the same for every question"
            )
    if not any(_abilities(rows[0])):
        raise DataError(f"{where} neither answers nor ranks; predict again")


def _abilities(row: Prediction) -> tuple[bool, bool]:
    """Whether it answers, whether it ranks."""
    return row.prediction is not None, row.ranking is not None


def question_scores(row: Prediction, recall_cuts: Sequence[int]) -> dict[str, float]:
    """Metric name → value (0 to 1) of one prediction: answers if it answers, recall if it ranks and gold exists."""
    scores = {} if row.prediction is None else answer_scores(row.prediction, row.golden_answers)
    if row.ranking is not None and row.pos_index:
        scores |= {f"recall@{k}": recall_at(row.ranking, row.pos_index, k) for k in recall_cuts}
    return scores


def score(rows: Sequence[Prediction], *, recall_cuts: Sequence[int], resampling: Resampling) -> list[Row]:
    """Every metric of every benchmark and setting, then their macro means, in the order of first appearance.

    The average over benchmarks resamples each benchmark by itself (stratified): its interval says how it would move
    with other questions, not with other benchmarks. Benchmarks without a value (no gold document anywhere) are left
    out of it.
    """
    groups: dict[tuple[str, str], list[dict[str, float]]] = {}
    for row in rows:
        groups.setdefault((row.setting, row.benchmark), []).append(question_scores(row, recall_cuts))
    scored = {key: _score_group(scores, "/".join(key), resampling) for key, scores in groups.items()}
    result = []
    for setting in dict.fromkeys(setting for setting, _ in scored):
        mine = {benchmark: metrics for (other, benchmark), metrics in scored.items() if other == setting}
        for benchmark, metrics in (mine | {AVERAGE: _average(mine)}).items():
            result += [_row(benchmark, setting, name, metric, resampling) for name, metric in metrics.items()]
    return result


def _score_group(scores: Sequence[Mapping[str, float]], key: str, resampling: Resampling) -> dict[str, _Scored]:
    """The metrics of one benchmark and setting; those of the same questions are resampled together."""
    result: dict[str, _Scored] = {}
    names = dict.fromkeys(name for row in scores for name in row)
    for family in ([n for n in names if "@" not in n], [n for n in names if "@" in n]):
        if not family:
            continue
        values = np.array([[row[name] for name in family] for row in scores if family[0] in row])
        means = resampled_means(values, resampling.samples, generator_for(resampling.seed, key))
        for column, name in enumerate(family):
            result[name] = _Scored(float(values[:, column].mean()), means[:, column], len(values))
    return result


def _average(benchmarks: Mapping[str, Mapping[str, _Scored]]) -> dict[str, _Scored]:
    result = {}
    for name in dict.fromkeys(name for metrics in benchmarks.values() for name in metrics):
        parts = [metrics[name] for metrics in benchmarks.values() if name in metrics]
        means = np.mean([part.means for part in parts], axis=0)
        result[name] = _Scored(sum(part.value for part in parts) / len(parts), means, sum(part.n for part in parts))
    return result


def _row(benchmark: str, setting: str, name: str, scored: _Scored, resampling: Resampling) -> Row:
    low, high = interval(scored.means[:, None], resampling.confidence)[:, 0]
    value, low, high = (round(_PERCENT * float(share), _DECIMALS) for share in (scored.value, low, high))
    return Row(benchmark, setting, name, value, low, high, scored.n)
