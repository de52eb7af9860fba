"""A specification filled with our numbers and the paper's: every cell with both, or with the command that makes it."""

from collections.abc import Collection, Mapping
from functools import reduce
from typing import Any, NamedTuple

import yaml

from clara.config import merge
from clara.evaluation.paper.commands import Run, command_for
from clara.evaluation.paper.measured import Found, Measured, spread
from clara.evaluation.paper.specs import SOURCES, Row, Table
from clara.evaluation.paper.values import PaperValue, Place, Values
from clara.evaluation.ratios import Effective


class Cell(NamedTuple):
    """A number of ours beside the paper's; either may be missing."""

    place: Place
    ours: Measured | None
    paper: PaperValue | None

    @property
    def difference(self) -> float | None:
        """Ours minus the paper's."""
        return self.ours.value - self.paper.value if self.ours and self.paper else None

    @property
    def significant(self) -> bool | None:
        """Whether the paper's value lies outside our interval; the paper gives none of its own. None where unknown."""
        if not self.ours or not self.paper or self.ours.low is None or self.ours.high is None:
            return None
        return not self.ours.low <= self.paper.value <= self.ours.high


class Line(NamedTuple):
    """A row of a filled table."""

    label: str
    system: str
    """Empty for a peer that is not run here."""
    command: str
    """What makes its missing numbers; empty for a peer, or where none is missing that the paper or we have."""
    cells: dict[tuple[str, str, str], Cell]
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

    @property
    def missing(self) -> dict[str, list[str]]:
        """Command → labels of the rows whose missing numbers it makes."""
        found: dict[str, list[str]] = {}
        for line in self.lines:
            if line.command:
                found.setdefault(line.command, []).append(line.label)
        return found

    def completing(self) -> str:
        """The command that makes all missing numbers, and the table with them; empty where none is missing."""
        if not any(line.command for line in self.lines):
            return ""
        name = self.table.table
        systems = [line.system for line in self.lines]  # those that have their numbers stay
        cells = [cell for line in self.lines if line.command for cell in line.cells.values()]
        target, keys = f"results/{self.run.name}/paper/{name}.csv", settings_of(self.table, cells)
        return command_for([target], self.run, systems=systems, complete=name, settings=keys)


def fill(
    table: Table, values: Values, measured: Found, *, run: Run, backbone: str, equal: Mapping[str, str] | None = None
) -> Filled:
    """The table's rows at every ratio that we or the paper have, else at the run's, in the order of the specification.

    Args:
        table: the specification.
        values: the paper's numbers for `backbone`.
        measured: ours.
        run: the run that they are of.
        backbone: `mistral` or `phi4`.
        equal: systems that are another under another name (`paper.equal`); their rows read that one's numbers.
    """
    equal = equal or {}
    measured = spread(measured, equal)
    ours, named = ({place.system for place in places} for places in (measured, values))
    lines = []
    for row in table.rows:
        if not row.spread:
            lines.append(_line(table, row, 0, values, measured, run, equal))
            continue
        ratios = row.ratios(ours, named) or run.ratios
        lines += [_line(table, row, ratio, values, measured, run, equal) for ratio in ratios]
    return Filled(table, run, backbone, lines)


def _line(
    table: Table, row: Row, ratio: int, values: Values, measured: Found, run: Run, equal: Mapping[str, str]
) -> Line:
    system = (row.system or "").format(ratio=ratio)
    name = row.value_name.format(ratio=ratio)
    cells = {}
    for setting in table.settings:
        for benchmark in table.benchmarks:
            for metric in table.metrics:
                paper = values.get(Place(name, setting, benchmark, metric))
                place = Place(system or name, setting, benchmark, metric)
                cells[setting, benchmark, metric] = Cell(place, measured.get(place) if system else None, paper)
    command = ""
    if system and _lacks(table, cells.values()):
        holder = (row.held_by or equal.get(system, system)).format(ratio=ratio or run.ratios[0])
        target = f"results/{run.name}/{SOURCES[table.source].format(system=holder)}"
        keys = settings_of(table, cells.values())
        command = command_for([target], run, settings=keys)
    label = row.label.format(ratio=ratio)
    if system in equal:
        label += f" (the settings of {equal[system].rpartition('-')[2]})"
    return Line(label, system, command, cells)


def _lacks(table: Table, cells: Collection[Cell]) -> bool:
    """Whether nothing of ours is there, or something is missing that the paper has and a command can make.

    A file of measurements that is there holds all that its settings ask for.
    """
    wanted = [cell for cell in cells if cell.paper and not cell.ours]
    makable = wanted if table.source == "scores" else [cell for cell in wanted if cell.place.metric in table.needs]
    return not any(cell.ours for cell in cells) or bool(makable)


def settings_of(table: Table, cells: Collection[Cell]) -> list[str]:
    """`--config` of the settings that the missing metrics need."""
    lacking = {cell.place.metric for cell in cells if cell.paper and not cell.ours}
    needed: dict[str, Any] = reduce(merge, [keys for name, keys in table.needs.items() if name in lacking], {})
    return [f"{key}={yaml.safe_dump(value, default_flow_style=True).strip()}" for key, value in needed.items()]
