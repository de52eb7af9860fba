"""A specification filled with our numbers and the paper's: every cell with both, or with the command that makes it."""

from collections.abc import Mapping
from typing import Any

from clara.config import merge
from clara.config.measurements import is_papers_encoder, is_papers_spacy
from clara.evaluation.labels import RELEASED, system_label
from clara.evaluation.paper.cells import Filled, Line, PaperCell
from clara.evaluation.paper.commands import GAPS, Run, command_for, obstacle, pools_for, stated_by
from clara.evaluation.paper.measured import Found, spread
from clara.evaluation.paper.specs import SOURCES, RowSpec, Table
from clara.evaluation.paper.values import Place, Values


def fill(
    table: Table, values: Values, measured: Found, *, run: Run, backbone: str, equal: Mapping[str, str] | None = None
) -> Filled:
    """The table's rows at every ratio asked for and of our or the paper's numbers, in the specification's order.

    Below them those of the released checkpoints that the run has, where the table has such rows.

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
    lines, files = [], []
    for row in table.rows:
        known = row.ratios(ours, named)
        asked = table.ratios_asked(row, run.ratios) if row.system else []
        for ratio in sorted({*known, *asked}) if row.spread else [0]:
            lines.append(_line(table, row, ratio, values, measured, equal))
            holder = row.held_by or equal.get(lines[-1].system, lines[-1].system)
            files.append(holder.format(ratio=ratio or run.ratios[0]))
    for system in sorted(name for name in ours if table.released and name.startswith(RELEASED)):
        lines.append(_line(table, RowSpec(label=system_label(system), system=system), 0, values, measured, equal))
        files.append(system)
    return _with_commands(Filled(table, run, backbone, lines), files)


def _line(table: Table, row: RowSpec, ratio: int, values: Values, measured: Found, equal: Mapping[str, str]) -> Line:
    system = (row.system or "").format(ratio=ratio)
    name = row.value_name.format(ratio=ratio)
    cells = {}
    for setting in table.settings:
        for benchmark in table.benchmarks:
            for metric in table.metrics:
                paper = values.get(Place(name, setting, benchmark, metric))
                place = Place(system or name, setting, benchmark, metric)
                ours, first = (
                    measured.get(place._replace(metric=counted)) if system else None
                    for counted in (metric, f"{metric}_first")
                )
                cells[setting, benchmark, metric] = PaperCell(place, ours, paper, first=first)
    label = row.label.format(ratio=ratio)
    if system in equal:
        label += f" (the settings of {equal[system].rpartition('-')[2]})"
    return Line(label, system, cells)


def _with_commands(filled: Filled, holders: list[str]) -> Filled:
    """The table with a command at every cell that lacks our number.

    A file that is not there yet makes its row. What a setting of the whole run adds, such as another pool, all rows
    that lack it get by one command, since all of them are answered anew.

    Args:
        filled: the table without commands.
        holders: for each of its lines the system whose file holds the numbers.
    """
    table, run = filled.table, filled.run
    whole = f"results/{run.name}/paper/{table.table}.csv"
    paths = [f"results/{run.name}/{SOURCES[table.source].format(system=holder)}" for holder in holders]
    stated = _stated_packages(table, run.name)
    alone = [
        obstacle(holder, run) or command_for([path, whole], run.name, packages=stated)
        for holder, path in zip(holders, paths, strict=True)
    ]
    there = [any(cell.ours for cell in line.cells.values()) for line in filled.lines]
    lacking = [line.system and not known for line, known in zip(filled.lines, there, strict=True)]
    absent = list(
        dict.fromkeys(
            p for p, own, lacks in zip(paths, alone, lacking, strict=True) if lacks and _runs_as_it_stands(own)
        )
    )
    poorer = [known and _lacks_a_pool(table, line, run) for line, known in zip(filled.lines, there, strict=True)]
    asked = list(dict.fromkeys(p for p, lacks in zip(paths, poorer, strict=True) if lacks or p in absent))
    settings: dict[str, Any] = {}
    packages = stated
    lines = []
    for line, path, own, known in zip(filled.lines, paths, alone, there, strict=True):
        cells = {}
        for key, cell in line.cells.items():
            command, wanted = "", _settings_for(table, cell.place, run.name)
            if not line.system or cell.ours or cell.place.metric in table.optional:
                pass
            elif not known and (own.startswith("#") or not wanted):
                command = own
            elif wanted:
                targets = asked if known or path in absent else [path]
                installed = [*stated, *table.packages.get(cell.place.metric, [])]
                command = command_for([*targets, whole], run.name, settings=wanted, packages=installed)
                if _runs_as_it_stands(command):
                    settings = merge(settings, wanted)
                    packages = [*packages, *installed]
            elif cell.paper:
                command = f"# none: {path} is there and has no such number"
            cells[key] = cell._replace(command=command)
        lines.append(line._replace(cells=cells))
    targets = asked if settings else absent
    completing = ""
    if absent or settings:
        completing = command_for([*targets, whole], run.name, settings=settings, packages=packages)
    return filled._replace(lines=lines, completing=completing)


def _lacks_a_pool(table: Table, line: Line, run: Run) -> bool:
    missing = [cell.place for cell in line.cells.values() if line.system and not cell.ours]
    return any(_settings_for(table, place, run.name) for place in missing)


def _runs_as_it_stands(command: str) -> bool:
    return not command.startswith("#") and not any(gap in command for gap in GAPS)


def _settings_for(table: Table, place: Place, run: str) -> dict[str, Any]:
    """What the run's configuration must have beside for a cell of the table; empty where it has all."""
    wanted, stated = pools_for(place.setting, run), stated_by(run)
    needs = table.needs.get(place.metric, {})
    return merge(wanted, needs) if stated and _lacks(stated, needs) else wanted


def _stated_packages(table: Table, run: str) -> list[str]:
    """What must be installed for the metrics that the run's configuration asks for."""
    stated = stated_by(run)
    asked = [metric for metric, needs in table.needs.items() if stated and not _lacks(stated, needs)]
    return [name for metric in asked for name in table.packages.get(metric, [])]


def _lacks(stated: Any, needs: Any) -> bool:
    """Whether a setting that is needed is not made, or made by another model than the paper's."""
    if isinstance(needs, dict) and isinstance(stated, dict):
        return any(_lacks(stated[key], value) for key, value in needs.items())
    if isinstance(stated, str) and is_papers_encoder(str(needs)):
        return not is_papers_encoder(stated)
    if isinstance(stated, str) and is_papers_spacy(str(needs)):
        return not is_papers_spacy(stated)
    return stated is None
