"""Scores over seeds: mean and spread of runs that differ in nothing else."""

import csv
import io
import re
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from clara.errors import DataError
from clara.evaluation.results import SystemScore
from clara.files import read_json

SEEDED = re.compile(r"(.+)_seed(\d+)")
DECIMALS = 6


class OverSeeds(NamedTuple):
    """One number of a results table over all seeds, in percent."""

    system: str
    """Its name under the first seed."""
    benchmark: str
    setting: str
    metric: str
    seeds: int
    mean: float
    spread: float
    """Sample standard deviation over the seeds."""
    least: float
    greatest: float
    low: float
    """Of the interval over questions under the first seed, for comparison: it knows nothing of the seeds."""
    high: float
    n: int
    """Questions."""


def aggregate(scores: Iterable[SystemScore], seed: int, seeds: Sequence[int]) -> list[OverSeeds]:
    """Mean and spread of every score that exists under `seed` and all of `seeds`; of systems without seeds, none.

    Raises:
        DataError: a system lacks a score under some seed that it has under another.
    """
    found: dict[tuple[str, str, str, str], dict[int, SystemScore]] = {}
    seeded = set()
    for row in scores:
        match = SEEDED.fullmatch(row.system)
        name, number = (match[1], int(match[2])) if match else (row.system, seed)
        if match:
            seeded.add(name)
        found.setdefault((name, row.score.benchmark, row.score.setting, row.score.metric), {})[number] = row
    wanted = {seed, *seeds}
    rows = []
    for (system, benchmark, setting, metric), by_seed in found.items():
        if system not in seeded:
            continue
        if by_seed.keys() != wanted:
            other = sorted(wanted ^ by_seed.keys())
            raise DataError(
                f"{system} has {benchmark} {setting} {metric} under seeds {_listed(by_seed)}, the run is of seeds "
                f"{_listed(wanted)}: {_listed(other)} differ; score it under every seed, or leave out the scores of "
                "others"
            )
        values = [by_seed[number].score.value for number in sorted(by_seed)]
        first = by_seed[seed].score
        numbers = (statistics.fmean(values), statistics.stdev(values), min(values), max(values))
        mean, spread, least, greatest = (round(number, DECIMALS) for number in numbers)
        rows.append(
            OverSeeds(
                system,
                benchmark,
                setting,
                metric,
                len(values),
                mean,
                spread,
                least,
                greatest,
                first.low,
                first.high,
                first.n,
            )
        )
    return rows


def as_json(rows: Sequence[OverSeeds], seed: int, seeds: Sequence[int]) -> dict[str, Any]:
    """The content of `seeds.json`."""
    return {"seeds": [seed, *seeds], "rows": [row._asdict() for row in rows]}


def as_csv(rows: Sequence[OverSeeds]) -> str:
    """The same as a table."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(OverSeeds._fields)
    writer.writerows(rows)
    return text.getvalue()


def read_seeds(files: Iterable[Path]) -> list[OverSeeds]:
    """The rows of `seeds.json` files.

    Raises:
        DataError: a file is another.
    """
    rows = []
    for path in files:
        content = read_json(path)
        try:
            rows += [OverSeeds(**row) for row in content["rows"]]
        except (KeyError, TypeError) as error:
            raise DataError(
                f"{path} holds no scores over seeds ({error!r}); run the step that makes it again"
            ) from error
    return rows


def _listed(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(numbers)))
