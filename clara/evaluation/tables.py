"""Result tables as files: CSV (long, full precision), Markdown and LaTeX."""

import csv
import io
from collections.abc import Sequence

from clara.evaluation.grids import Cell, Grid
from clara.evaluation.results import CONDITIONS, CheckpointUse, Score, SystemScore

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
