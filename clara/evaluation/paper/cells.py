"""A table of the paper with our numbers in it: cells, lines, and what is said of the whole."""

from typing import NamedTuple

from clara.evaluation.paper.commands import Run
from clara.evaluation.paper.measured import Measured
from clara.evaluation.paper.specs import Table
from clara.evaluation.paper.values import PaperValue, Place
from clara.evaluation.ratios import Effective


class PaperCell(NamedTuple):
    """A number of ours beside the paper's; either may be missing."""

    place: Place
    ours: Measured | None
    paper: PaperValue | None
    command: str = ""
    """What makes our number where it is missing, or a comment that says why nothing does."""
    first: Measured | None = None
    """Ours by the first gold answer alone, as the paper scores; None where no gold answer plays a part."""

    @property
    def likened(self) -> Measured | None:
        """Ours as the paper counts it: what the paper's value is held against."""
        return self.first or self.ours

    @property
    def difference(self) -> float | None:
        """Ours, as the paper counts it, minus the paper's."""
        return self.likened.value - self.paper.value if self.likened and self.paper else None

    @property
    def significant(self) -> bool | None:
        """Whether the paper's value lies outside the interval of ours; the paper gives none. None where unknown."""
        ours = self.likened
        if not ours or not self.paper or ours.low is None or ours.high is None:
            return None
        return not ours.low <= self.paper.value <= ours.high


class Line(NamedTuple):
    """A row of a filled table."""

    label: str
    system: str
    """Empty for a peer that is not run here."""
    cells: dict[tuple[str, str, str], PaperCell]
    """(setting, benchmark, metric) → cell."""

    @property
    def quoted(self) -> bool:
        """Whether all its numbers are the paper's."""
        return not self.system


class Filled(NamedTuple):
    """A table ready to be written."""

    table: Table
    run: Run
    backbone: str
    """Of the paper's values."""
    lines: list[Line]
    effective: Effective | None = None
    """Effective ratios of the run's documents, where they are measured."""
    departures: str = ""
    """Where the run's base is not the paper's (`departures.sentence`); empty where it is."""

    completing: str = ""
    """The command that makes all missing numbers that need nothing to be filled in, and the table with them."""

    @property
    def metrics(self) -> list[str]:
        """The metrics that are shown: the table's, of optional ones those that a row of ours has."""
        have = {cell.place.metric for line in self.lines for cell in line.cells.values() if cell.ours}
        return [name for name in self.table.metrics if name not in self.table.optional or name in have]

    @property
    def by_first(self) -> bool:
        """Whether the paper's numbers are held against ours by the first gold answer."""
        return any(cell.first and cell.paper for line in self.lines for cell in line.cells.values())

    @property
    def instruments(self) -> str:
        """Which models judged or compared for which metrics of ours; empty where none did."""
        found: dict[str, dict[str, None]] = {}
        for line in self.lines:
            for cell in line.cells.values():
                if cell.ours and cell.ours.by:
                    found.setdefault(cell.place.metric, {})[cell.ours.by] = None
        names = {metric: self.table.names.get(metric, metric) for metric in found}
        return " ".join(f"{names[metric]}: by {', '.join(models)}." for metric, models in found.items())

    @property
    def missing(self) -> dict[str, list[str]]:
        """Command → labels of the rows whose missing numbers it makes."""
        found: dict[str, list[str]] = {}
        for line in self.lines:
            for command in dict.fromkeys(cell.command for cell in line.cells.values() if cell.command):
                found.setdefault(command, []).append(line.label)
        return found
