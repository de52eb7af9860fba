"""A filled table as files: CSV, Markdown, LaTeX, what differs from the paper, LaTeX macros, and JSON."""

import csv
import io
from collections.abc import Callable, Iterator
from typing import Any

from clara.evaluation.labels import benchmark_label, metric_label, setting_label
from clara.evaluation.paper.cells import Filled, Line, PaperCell
from clara.evaluation.paper.measured import ALL, Measured
from clara.evaluation.paper.specs import Table
from clara.evaluation.ratios import sentence
from clara.evaluation.tables import escape_latex

COLUMNS = (
    "table", "row", "system", "setting", "benchmark", "metric",
    "ours", "low", "high", "n", "by", "first_gold", "first_low", "first_high",
    "paper", "difference", "significant", "command", "note",
)  # fmt: skip
FIRST_GOLD = (
    "Ours counts the best of all gold answers, the paper the first alone; differences and their marks are of ours by "
    "the first as well."
)
BACKBONES = {"mistral": "Mistral-7B", "phi4": "Phi4-mini"}


def table_csv(filled: Filled) -> str:
    """Every cell that ours or the paper's number stands in, or should, unrounded."""
    metrics, rows = filled.metrics, list[tuple[object, ...]]([COLUMNS])
    for line in filled.lines:
        for cell in line.cells.values():
            if cell.place.metric not in metrics or not (cell.ours or cell.paper or line.system):
                continue
            ours = cell.ours or (None, None, None, None, "")
            paper, note = cell.paper or (None, "")
            mark = {True: "yes", False: "no", None: ""}[cell.significant]
            difference = None if cell.difference is None else round(cell.difference, 6)
            where = (line.system, *cell.place[1:])
            first = cell.first[:3] if cell.first else (None, None, None)
            against = (*first, paper, difference, mark, cell.command, note)
            rows.append((filled.table.table, line.label, *where, *ours, *against))
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def markdown(filled: Filled, *, completing: str = "") -> str:
    """The table, a part for every setting and metric, with what is missing and how to make it.

    Args:
        filled: the table.
        completing: the command that makes all that needs nothing more, named last where it is given.
    """
    table = filled.table
    parts = [f"## {table.title}", _reading(filled)]
    parts += [table.note] if table.note else []
    parts += _said(filled)
    for caption, heads, lines in panels(filled):
        body = [["Row", *heads], ["---", *["--:"] * len(heads)]]
        body += [[line.label, *(_shown(cell, line, table) for cell in cells)] for line, cells in lines]
        rows = "\n".join("| " + " | ".join(entry.replace("|", r"\|") for entry in row) + " |" for row in body)
        parts.append(f"**{caption}**\n\n{rows}" if caption else rows)
    if filled.missing:
        shown = "\n".join(f"- {', '.join(labels)}: `{command}`" for command, labels in filled.missing.items())
        parts.append(f"Missing numbers of ours, and what makes each:\n\n{shown}")
    if completing:
        parts.append(f"All that needs nothing filled in, and this table with it: `{completing}`")
    return "\n\n".join(parts) + "\n"


def _reading(filled: Filled, missing: str = "...") -> str:
    ours = f"{filled.table.source_line}. Ours (run `{filled.run.name}`) with its interval over questions"
    if not any(cell.paper for line in filled.lines for cell in line.cells.values()):
        return f"{ours}; {missing} is missing."
    model = f" for {_model(filled)}" if _model(filled) else ""
    said = f"{ours}, then in parentheses the paper's{model}; a row in italics quotes the paper; {missing} is missing."
    return said + (f" {FIRST_GOLD}" if filled.by_first else "")


def _said(filled: Filled) -> list[str]:
    """What is said of the run below a table's note."""
    return [said for said in (filled.instruments, sentence(filled.effective), filled.departures) if said]


def _model(filled: Filled) -> str:
    """The paper's language model that its numbers are of; empty where they are of none."""
    own = filled.table.source == "data" or not filled.table.table.startswith("table_")
    return "" if own else BACKBONES[filled.backbone]


def panels(filled: Filled) -> Iterator[tuple[str, list[str], list[tuple[Line, list[PaperCell]]]]]:
    """(caption, heads, rows) of each part: columns are benchmarks; metrics where there is but one benchmark."""
    table, metrics = filled.table, filled.metrics

    def called(name: str, usual: Callable[[str], str]) -> str:
        return table.names.get(name, usual(name))

    single = len(table.benchmarks) == 1
    for setting in table.settings:
        for outer in table.benchmarks if single else metrics:
            inner = metrics if single else table.benchmarks
            keys = [(setting, outer, name) if single else (setting, name, outer) for name in inner]
            heads = [called(name, metric_label if single else benchmark_label) for name in inner]
            named = [(outer, benchmark_label if single else metric_label), (setting, setting_label)]
            caption = ", ".join(called(name, usual) for name, usual in named if name != ALL)
            rows = [(line, [line.cells[key] for key in keys]) for line in filled.lines]
            yield caption, heads, [(line, cells) for line, cells in rows if line.system or any(c.paper for c in cells)]


def _shown(cell: PaperCell, line: Line, table: Table) -> str:
    decimals = table.digits(cell.place.metric)
    paper = f"{cell.paper.value:.{decimals}f}" if cell.paper else ""
    if line.quoted:
        return f"*{paper}*" if paper else ""
    return " ".join(part for part in (_number(cell.ours, decimals) or "...", f"({paper})" if paper else "") if part)


def _number(measured: Measured | None, decimals: int) -> str:
    if measured is None:
        return ""
    value, low, high, *_ = measured
    bounds = "" if low is None else f" [{low:.{decimals}f}, {high:.{decimals}f}]"
    return f"{value:.{decimals}f}{bounds}"


def difference_markdown(filled: Filled) -> str:
    """Every number that both have: ours, interval, the paper's, difference, and whether it is more than chance."""
    lines = []
    for line in filled.lines:
        for cell in line.cells.values():
            if cell.difference is None or cell.ours is None or cell.paper is None:
                continue
            decimals = filled.table.digits(cell.place.metric)
            ours, _, bounds = _number(cell.likened, decimals).partition(" ")
            ours = f"{cell.ours.value:.{decimals}f} | {ours}" if filled.by_first else ours
            mark = {True: "\\*", False: "", None: "?"}[cell.significant]
            place = ".".join(part for part in cell.place[1:] if part != ALL)
            paper, difference = f"{cell.paper.value:.{decimals}f}", f"{cell.difference:+.{decimals}f}{mark}"
            lines.append(f"| {line.label} | {place} | {ours} | {bounds} | {paper} | {difference} | {cell.paper.note} |")
    against = ", ".join(part for part in (filled.table.place, _model(filled)) if part)
    text = (
        f"## {filled.table.title}: ours against the paper\n\nRun `{filled.run.name}` against {against}. \\*: the "
        "paper's value lies outside our interval; the paper gives no interval of its own. ?: ours has none.\n\n"
    )
    notes = (FIRST_GOLD if filled.by_first else "", filled.instruments, filled.departures)
    text += "".join(f"{said}\n\n" for said in notes if said)
    if not lines:
        return f"{text}No number of this table is in both.\n"
    first = ("First gold | ", "--: | ") if filled.by_first else ("", "")
    heads = f"| Row | Cell | Ours | {first[0]}Interval | Paper | Difference | On the paper's value |\n"
    return text + heads + f"| --- | --- | --: | {first[1]}--- | --: | --: | --- |\n" + "\n".join(lines) + "\n"


def latex(filled: Filled) -> str:
    """The table for the package booktabs, the paper's numbers in parentheses, quoted rows in italics; -- is missing."""
    said = [_reading(filled, "--"), *([filled.table.note] if filled.table.note else []), *_said(filled)]
    caption = escape_latex(f"{filled.table.title}. {' '.join(said).replace('`', '')}")
    out = [r"\begin{table}", rf"\caption{{{caption}}}"]
    for caption, heads, lines in panels(filled):
        out += [rf"\begin{{tabular}}{{l{'r' * len(heads)}}}", r"\toprule"]
        out.append(" & ".join(map(escape_latex, [caption, *heads])) + r" \\")
        out.append(r"\midrule")
        for line, cells in lines:
            shown = [_latex(cell, line, filled.table.digits(cell.place.metric)) for cell in cells]
            out.append(" & ".join([escape_latex(line.label), *shown]) + r" \\")
        out += [r"\bottomrule", r"\end{tabular}", ""]
    return "\n".join([*out[:-1], r"\end{table}", ""])


def _latex(cell: PaperCell, line: Line, decimals: int) -> str:
    paper = f"{cell.paper.value:.{decimals}f}" if cell.paper else ""
    if line.quoted:
        return rf"\textit{{{paper}}}" if paper else ""
    value, _, bounds = _number(cell.ours, decimals).partition(" ")
    parts = [value or "--", rf"{{\scriptsize {bounds}}}" if bounds else "", f"({paper})" if paper else ""]
    return " ".join(part for part in parts if part)


def macros(filled: Filled) -> str:
    r"""One LaTeX macro a number: `\clara{table2.pretraining-cr16-base.oracle.nq.f1}`, `.low`, `.high`, `.paper`.

    `.first` is ours by the first gold answer.
    """
    name = filled.table.table.replace("_", "")
    lines = [
        rf"% Numbers of {filled.table.title}, run {filled.run.name}: \clara{{NAME}} prints one, or ??.",
        r"\providecommand{\clara}[1]{\ifcsname clara@#1\endcsname\csname clara@#1\endcsname\else ??\fi}",
    ]
    for line in filled.lines:
        for cell in line.cells.values():
            ours, decimals = cell.ours, filled.table.digits(cell.place.metric)
            named = {"": ours.value, ".low": ours.low, ".high": ours.high} if ours else {}
            named |= {".first": cell.first.value} if cell.first else {}
            named |= {".paper": cell.paper.value} if cell.paper else {}
            for ending, value in named.items():
                if value is not None:
                    key = f"{name}.{cell.place.dotted}{ending}"
                    lines.append(rf"\expandafter\def\csname clara@{key}\endcsname{{{value:.{decimals}f}}}")
    return "\n".join(lines) + "\n"


def as_json(filled: Filled) -> dict[str, Any]:
    """Our numbers by system, setting, benchmark and metric: what `dvc metrics diff` compares."""
    content: dict[str, Any] = {}
    for line in filled.lines:
        for cell in line.cells.values():
            if cell.ours:
                place: dict[str, Any] = content
                *parents, metric = cell.place.dotted.split(".")
                for part in parents:
                    place = place.setdefault(part, {})
                place[metric] = round(cell.ours.value, 6)
    return content
