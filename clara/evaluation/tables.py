"""Result tables as files: CSV (long, full precision), Markdown and LaTeX."""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from clara.errors import DataError
from clara.evaluation.comparisons import Comparison
from clara.evaluation.grids import Cell, Grid
from clara.evaluation.labels import Checkpoint, Name
from clara.evaluation.results import CONDITIONS, CheckpointUse, Interval, MemoryUse, Score, SystemScore
from clara.records import parse_row

_NUMBERS: Mapping[str, Callable[[Any], int | float]] = {
    **dict.fromkeys(("n", "ratio"), int),
    **dict.fromkeys(("value", "mean", "low", "high", "confidence"), float),
}
"""Columns that hold numbers."""

_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"\textpm{}",
}


def results_csv(scores: Sequence[SystemScore]) -> str:
    """Every number of every system, one a line, unrounded."""
    head = ("system", *Score.model_fields, "confidence")
    rows = [(row.system, *row.score.model_dump().values(), row.confidence) for row in scores]
    return _csv([head, *rows])


def memory_use_csv(uses: Sequence[CheckpointUse]) -> str:
    """Every number of the memory-use diagnostic, one a line, unrounded."""
    lines: list[Sequence[object]] = [
        ("stage", "ratio", "variant", "init", "quantity", "mean", "low", "high", "n", "confidence")
    ]
    for (stage, name), use in uses:
        quantities = {key: getattr(use.losses, key) for key in CONDITIONS} | {
            "wrong_minus_right": use.wrong_minus_right
        }
        for quantity, interval in quantities.items():
            place = (stage, name.ratio, name.variant, name.init, quantity)
            lines.append((*place, interval.mean, interval.low, interval.high, use.n, use.confidence))
    return _csv(lines)


def read_results_csv(path: Path) -> list[SystemScore]:
    """The scores that `results_csv` wrote, in its order.

    Raises:
        DataError: the file is missing or no such table.
    """
    return [
        SystemScore(row.pop("system"), row.pop("confidence"), parse_row(Score, row, where))
        for where, row in _rows(path, results_csv([]))
    ]


def read_memory_use_csv(path: Path) -> list[CheckpointUse]:
    """The memory use that `memory_use_csv` wrote, in its order.

    Raises:
        DataError: the file is missing or no such table.
    """
    uses: dict[Checkpoint, dict[str, Any]] = {}
    for _, row in _rows(path, memory_use_csv([])):
        checkpoint = Checkpoint(row["stage"], Name(row["init"], row["ratio"], row["variant"]))
        use = uses.setdefault(checkpoint, {"n": row["n"], "confidence": row["confidence"], "losses": {}})
        place = use["losses"] if row["quantity"] in CONDITIONS else use
        place[row["quantity"]] = {name: row[name] for name in Interval.model_fields}
    return [CheckpointUse(checkpoint, parse_row(MemoryUse, use, str(path))) for checkpoint, use in uses.items()]


def _rows(path: Path, head: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """`FILE line N` and the row, numbers as numbers, of a CSV file with this head."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist; run the step that makes the report") from error
    if not text.startswith(head):
        raise DataError(f"{path} must begin with {head.strip()}; delete it and run the step that makes the report")
    for number, row in enumerate(csv.DictReader(io.StringIO(text)), 2):
        where = f"{path} line {number}"
        try:
            yield where, {name: _NUMBERS.get(name, str)(value) for name, value in row.items()}
        except (TypeError, ValueError) as error:
            raise DataError(f"{where}: {error}; delete the file and run the step that makes the report") from error


def _csv(lines: Sequence[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue()


def markdown(grid: Grid) -> str:
    """The table in Markdown: caption, value and interval in each cell, the best of a column in bold."""

    def show(cell: Cell) -> str:
        if not cell.value:
            return "-"
        value = f"**{cell.value}**" if cell.best else cell.value
        return f"{value} {cell.interval}".strip()

    lines = [grid.full_heads, ["---", *["--:"] * len(grid.heads)]]
    lines += [[label, *map(show, row)] for label, row in zip(grid.labels, grid.cells, strict=True)]
    body = "\n".join("| " + " | ".join(entry.replace("|", r"\|") for entry in line) + " |" for line in lines)
    return f"**{grid.caption}**\n\n{body}\n"


def latex(grid: Grid) -> str:
    """The table in LaTeX, for the package booktabs."""

    def show(cell: Cell) -> str:
        if not cell.value:
            return "--"
        value = rf"\textbf{{{escape_latex(cell.value)}}}" if cell.best else escape_latex(cell.value)
        return f"{value} {{\\scriptsize {escape_latex(cell.interval)}}}" if cell.interval else value

    lines = [" & ".join(map(escape_latex, grid.full_heads)) + r" \\", r"\midrule"]
    for label, row in zip(grid.labels, grid.cells, strict=True):
        lines.append(" & ".join([escape_latex(label), *map(show, row)]) + r" \\")
    return "\n".join(
        [
            r"\begin{table}",
            rf"\caption{{{escape_latex(grid.caption)}}}",
            rf"\begin{{tabular}}{{l{'r' * len(grid.heads)}}}",
            r"\toprule",
            *lines,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def escape_latex(text: str) -> str:
    """`text` with LaTeX's special characters made harmless."""
    return "".join(_LATEX.get(character, character) for character in text)


def comparisons_csv(compared: Iterable[Comparison]) -> str:
    """Paired differences, first minus second, in points of the metric's macro mean, one a line."""
    head = ("first", "second", "setting", "metric", "difference", "low", "high", "questions", "verdict")
    lines: list[Sequence[object]] = [head]
    for row in compared:
        value, low, high = (round(number, 6) for number in row.estimate[:3])
        place = (row.system, row.baseline, row.setting, row.metric)
        lines.append((*place, value, low, high, row.estimate.n, row.verdict))
    return _csv(lines)
