"""The scorecard and the filled tables read back from their files, for the report page."""

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from clara.errors import DataError
from clara.evaluation.paper.cells import Filled, Line, PaperCell
from clara.evaluation.paper.commands import Run
from clara.evaluation.paper.measured import Measured
from clara.evaluation.paper.specs import Table, read_table
from clara.evaluation.paper.values import PaperValue, Place
from clara.evaluation.paper.writing import COLUMNS
from clara.files import read_json, reading
from clara.records import Record, parse_row


class Judged(Record):
    """A claim of the scorecard with its verdict."""

    claim: str
    verdict: str
    place: str
    test: str
    difference: float | None
    low: float | None
    high: float | None
    questions: int
    by_seed: dict[str, float]
    """The difference under each seed, where it is judged over several."""
    paper_difference: float | None
    paper_at: str
    """Of which ratios and benchmarks, where these are others than ours."""
    commands: list[str]
    alike: bool
    """Whether the run's settings make both sides the same."""


class Scorecard(NamedTuple):
    """A run's scorecard."""

    run: str
    backbone: str
    """The paper's, whose differences stand beside ours."""
    confidence: float
    departures: str
    """Where the run's base is not the paper's; empty where it is."""
    counts: dict[str, int]
    claims: list[Judged]


class Shown(NamedTuple):
    """A filled table, and where its file lies; the other forms lie beside it."""

    filled: Filled
    csv: Path


def read_scorecard(path: Path) -> Scorecard:
    """What `scorecard.json` says.

    Raises:
        DataError: the file is missing or no scorecard.
    """
    content = read_json(path)
    try:
        known = {name: [claim[name] for claim in content["claims"]] for name in Judged.model_fields}
        rows = [dict(zip(known, values, strict=True)) for values in zip(*known.values(), strict=True)]
        run, backbone, said = content["run"], content["compared_with"], str(content["departures"])
        head = run, backbone, float(content["confidence"]), said, dict(content["counts"])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} is no scorecard ({error!r}); delete it and run the step that makes it") from error
    return Scorecard(*head, [parse_row(Judged, row, f"{path} claim {number}") for number, row in enumerate(rows, 1)])


def read_tables(files: Iterable[Path], specifications: Iterable[Path], scorecard: Scorecard) -> list[Shown]:
    """The filled tables, in the order of their numbers.

    Args:
        files: CSV files of `writing.table_csv`.
        specifications: of these tables at least.
        scorecard: of the same run; only its name is known here, not its configuration.

    Raises:
        DataError: a file is no filled table, or its specification is not among those given.
    """
    tables = {path.stem: path for path in specifications}
    shown = []
    for path in sorted(files, key=lambda path: (len(path.stem), path.stem)):
        if path.stem not in tables:
            raise DataError(f"{path} is no table of {', '.join(sorted(tables)) or 'any specification'}; give its own")
        shown.append(Shown(_read(path, read_table(tables[path.stem]), scorecard), path))
    return shown


def _read(path: Path, table: Table, scorecard: Scorecard) -> Filled:
    with reading(path):
        rows = csv.DictReader(io.StringIO(Path(path).read_text(encoding="utf-8")))
    if rows.fieldnames is None or tuple(rows.fieldnames) != COLUMNS:
        raise DataError(f"{path} must begin with {','.join(COLUMNS)}; delete it and run the step that makes it")
    lines: dict[tuple[str, str], Line] = {}
    for number, row in enumerate(rows, 2):
        try:
            cell = _cell(row)
        except (TypeError, ValueError) as error:
            raise DataError(f"{path} line {number}: {error}; delete the file and run the step that makes it") from error
        key = row["row"], row["system"]
        line = lines.get(key, Line(*key, {}))
        lines[key] = Line(*key, {**line.cells, cell.place[1:]: cell})
    for line in lines.values():
        _complete(table, line)
    return Filled(table, Run(scorecard.run, []), scorecard.backbone, list(lines.values()))


def _cell(row: Mapping[str, str]) -> PaperCell:
    def number(name: str) -> float | None:
        return float(row[name]) if row[name] else None

    value = number("ours")
    ours = None if value is None else Measured(value, number("low"), number("high"), int(row["n"] or 0), row["by"])
    first = number("first_gold")
    likened = None if first is None else Measured(first, number("first_low"), number("first_high"))
    paper = number("paper")
    place = Place(row["system"], row["setting"], row["benchmark"], row["metric"])
    papers = None if paper is None else PaperValue(paper, row["note"])
    return PaperCell(place, ours, papers, row["command"], likened)


def _complete(table: Table, line: Line) -> None:
    """Puts empty cells where neither ours nor the paper's number stands."""
    for setting in table.settings:
        for benchmark in table.benchmarks:
            for metric in table.metrics:
                place = Place(line.system, setting, benchmark, metric)
                line.cells.setdefault((setting, benchmark, metric), PaperCell(place, None, None))
