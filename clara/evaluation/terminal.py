"""The result tables as aligned lines of a terminal."""

from collections.abc import Callable, Sequence
from pathlib import Path

from clara.evaluation.grids import Cell, Grid, Head, memory_use_grid, result_grids
from clara.evaluation.results import CheckpointUse, SystemScore

SHOWN = ("cover_em", "f1")
"""Answer metrics that are printed; the widest recall joins them."""

_GAP = 2


def summary(scores: Sequence[SystemScore], uses: Sequence[CheckpointUse], page: Path, *, width: int) -> str:
    """The main tables, one below the other, and where the report lies.

    Args:
        scores: the scores of all systems.
        uses: the memory use of all checkpoints.
        page: the report.
        width: columns of the terminal.
    """
    grids = []
    for setting in dict.fromkeys(row.score.setting for row in scores):
        found = result_grids(scores, setting)
        recalls = [metric for metric in found if metric.startswith("recall@")]
        grids += [found[metric] for metric in (*SHOWN, *recalls[-1:]) if metric in found]
    if uses:
        grids.append(memory_use_grid(uses))
    address = page.resolve().as_uri() if page.exists() else f"not made yet: {page}"
    return "\n\n".join([*(lines(grid, width=width) for grid in grids), f"Report: {page}\n        {address}"])


def lines(grid: Grid, *, width: int) -> str:
    """One table: with all intervals where they fit into `width`, else with those of the key column alone.

    A column is never cut: what does not fit beside the labels goes into a further block below.
    """
    labels = [grid.corner, *grid.labels]
    first = max(map(len, labels))
    columns = _columns(grid, lambda head: True)
    if first + sum(map(_width, columns)) > width:
        columns = _columns(grid, lambda head: head.key)
    parts = [_block(labels, part, first) for part in _fitting(columns, width - first)]
    return "\n".join([_caption(grid), *parts])


def _caption(grid: Grid) -> str:
    counts = [f"{head.short} {head.n}" for head in grid.heads if head.n]
    return f"{grid.caption}; questions: {', '.join(counts)}" if counts else grid.caption


def _columns(grid: Grid, with_interval: Callable[[Head], bool]) -> list[list[str]]:
    """Each column's head and entries as text."""
    columns = []
    for index, head in enumerate(grid.heads):
        cells = [row[index] for row in grid.cells]
        columns.append([head.short, *(_text(cell, with_interval(head)) for cell in cells)])
    return columns


def _text(cell: Cell, interval: bool) -> str:
    return f"{cell.value} {cell.interval}" if interval and cell.interval else cell.value or "-"


def _width(column: Sequence[str]) -> int:
    return _GAP + max(map(len, column))


def _fitting(columns: Sequence[list[str]], room: int) -> list[list[list[str]]]:
    """The columns, in groups that each fit into `room`, at least one a group."""
    groups: list[list[list[str]]] = [[]]
    left = room
    for column in columns:
        needed = _width(column)
        if groups[-1] and needed > left:
            groups.append([])
            left = room
        groups[-1].append(column)
        left -= needed
    return groups


def _block(labels: Sequence[str], columns: Sequence[list[str]], first: int) -> str:
    rows = []
    for index, label in enumerate(labels):
        rows.append(label.ljust(first) + "".join(column[index].rjust(_width(column)) for column in columns))
    rows.insert(1, "-" * len(rows[0]))
    return "\n".join(rows)
