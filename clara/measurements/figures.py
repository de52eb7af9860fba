"""Figures of the paper: loss by ratio, joint training, recall, answers by k, states, and the logit lens' case study."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clara.errors import DataError
from clara.evaluation.figure_style import INK, Palette, drawing, legend_below, say_nothing
from clara.evaluation.figures import draw_bars
from clara.evaluation.labels import metric_label, setting_label, system_name
from clara.evaluation.results import CheckpointDiagnostics, SystemScore
from clara.evaluation.scoring import AVERAGE
from clara.measurements.training import Course

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MEASURED = ("by_k", "states")
"""Measurements that have a figure of their own."""
BY_K_METRICS = ("f1", "em", "cover_em", "recall")
DOCUMENT, MEMORY = ("#0072B2", "o"), ("#D55E00", "^")
CASES = 2
"""Questions of each checkpoint in the figure of words."""
COLUMNS = 4
UNALIGNED = "no_mse"
"""The variant without the alignment loss (`configs/ablations.yaml`)."""


def draw(
    path: Path,
    courses: Sequence[Course],
    diagnostics: Sequence[CheckpointDiagnostics],
    scores: Sequence[SystemScore],
    measured: Mapping[str, Sequence[Mapping[str, Any]]],
    *,
    command: str = "",
) -> None:
    """The figure that the name of `path` says, as SVG there and as PNG beside it.

    Args:
        path: `validation_loss.svg`, `joint_training.svg`, `recall_bars.svg`, `logit_lens.svg`, `by_k.svg` or
            `states.svg`.
        courses: training of every checkpoint.
        diagnostics: of the checkpoints of joint training.
        scores: of every system.
        measured: `by_k` and `states` → the contents of their files.
        command: that measures what a figure of `MEASURED` shows, said where nothing is measured.

    Raises:
        DataError: there is no such figure.
    """
    systems = [*(row.system for row in scores), *(one["system"] for one in measured.get("by_k", []))]
    ours = [name for system in systems if (name := system_name(system))]
    palette = Palette(ours + [course.checkpoint.name for course in courses])
    drawings = {
        "validation_loss": lambda: draw_validation_loss(path, courses, palette),
        "joint_training": lambda: draw_joint_training(path, courses, palette),
        "recall_bars": lambda: draw_recall_bars(path, scores, palette),
        "logit_lens": lambda: draw_logit_lens(path, diagnostics),
        "by_k": lambda: draw_by_k(path, measured["by_k"], palette),
        "states": lambda: draw_states(path, measured["states"], command),
    }
    if path.stem not in drawings:
        raise DataError(f"there is no figure {path.stem}; the figures are {', '.join(drawings)}")
    if path.stem in MEASURED and not measured[path.stem]:
        _draw_lacking(path, command)
    else:
        drawings[path.stem]()


def _draw_lacking(path: Path, command: str) -> None:
    with drawing(path, 1, 1, size=(9.6, 1.2)) as (_, (axes,)):
        wrapped = _wrapped(command, 100)
        say_nothing(axes, f"This run measures nothing that this figure shows. What measures and draws it:\n{wrapped}")


def _wrapped(text: str, width: int) -> str:
    lines = text.splitlines()
    return "\n".join(textwrap.fill(line, width, break_long_words=False, break_on_hyphens=False) for line in lines)


def draw_validation_loss(path: Path, courses: Sequence[Course], palette: Palette) -> None:
    """Validation loss of pretraining by step, and at its end by ratio (Fig. 6)."""
    shown = [course for course in courses if course.checkpoint.stage == "pretraining"]
    with drawing(path, 1, 2, size=(9.6, 3.6)) as (figure, (steps, ends)):
        for course in shown:
            points = course.points("validation", "loss")
            _line(steps, points, palette, course)
            if points:
                style = palette.of_name(course.checkpoint.name)
                ends.plot([course.checkpoint.name.ratio], [points[-1][1]], style.marker, color=style.colour, ms=7)
        _axes(steps, "Pretraining", "optimizer step", "validation loss (nats a token)")
        _axes(ends, "At its end", "compression ratio, nominal", "")
        _ratio_axis(ends, [course.checkpoint.name.ratio for course in shown])
        _legend(figure, steps)


def draw_joint_training(path: Path, courses: Sequence[Course], palette: Palette) -> None:
    """Validation loss and recall while reasoner and generator learn together (Fig. 7)."""
    shown = [course for course in courses if course.checkpoint.stage == "joint"]
    with drawing(path, 1, 2, size=(9.6, 3.6)) as (figure, (loss, recall)):
        for course in shown:
            _line(loss, course.points("validation", "loss"), palette, course)
            _line(
                recall, [(step, 100 * value) for step, value in course.points("validation", "recall")], palette, course
            )
        names = sorted({course.recall_name for course in shown if course.recall_name})
        _axes(loss, "Joint training: loss", "optimizer step", "validation loss (nats a token)")
        _axes(recall, "Joint training: recall", "optimizer step", f"{', '.join(map(metric_label, names))} (%)")
        _legend(figure, loss)


def draw_recall_bars(path: Path, scores: Sequence[SystemScore], palette: Palette) -> None:
    """Recall of every system that ranks, by benchmark (Fig. 5)."""
    found = {row.score.metric for row in scores if row.score.metric.startswith("recall@")}
    cuts = sorted(found, key=lambda metric: int(metric.removeprefix("recall@")))
    draw_bars(path, scores, cuts, palette)


def draw_by_k(path: Path, found: Sequence[Mapping[str, Any]], palette: Palette) -> None:
    """Answers and recall by the number of documents read, macro mean over benchmarks (Fig. 8)."""
    rows = [row for one in found for row in one["rows"]]
    settings = list(dict.fromkeys(row["setting"] for row in rows))
    size = (3.1 * len(BY_K_METRICS), 0.7 + 2.7 * len(settings))
    with drawing(path, len(settings), len(BY_K_METRICS), size=size) as (figure, panels):
        places = [(setting, metric) for setting in settings for metric in BY_K_METRICS]
        for axes, (setting, metric) in zip(panels, places, strict=False):
            title = metric_label(metric) if metric != "recall" else "Recall@k"
            _axes(axes, f"{title}, {setting_label(setting)}", "documents read", "percent" if metric == "f1" else "")
            for one in found:
                mine = [
                    row
                    for row in one["rows"]
                    if (row["benchmark"], row["setting"], row["metric"]) == (AVERAGE, setting, metric)
                ]
                _band(axes, one["system"], mine, palette)
        _legend(figure, panels[0])


def _band(axes: "Axes", system: str, rows: Sequence[Mapping[str, Any]], palette: Palette) -> None:
    name = system_name(system)
    assert name is not None
    style = palette.of_name(name)
    numbers = [row["k"] for row in rows]
    axes.plot(numbers, [row["value"] for row in rows], color=style.colour, marker=style.marker, ms=4, label=name.label)
    axes.fill_between(
        numbers, [row["low"] for row in rows], [row["high"] for row in rows], color=style.colour, alpha=0.12, lw=0
    )


def draw_states(path: Path, found: Sequence[Mapping[str, Any]], command: str = "") -> None:
    """Mean states of documents and of their memories in two dimensions, a panel a checkpoint (Fig. 9).

    Where none was trained without the alignment loss, the figure says what trains and draws it.
    """
    compared = any(_variant(one["checkpoint"]) == UNALIGNED for one in found)
    columns = min(COLUMNS, len(found))
    rows = -(-len(found) // columns)
    with drawing(path, rows, columns, size=(max(3.2 * columns, 6.4), 0.6 + 3.2 * rows)) as (figure, panels):
        if command and not compared:
            lacks = f"Without the alignment loss nothing was measured here. What measures and draws it:\n{command}"
            figure.suptitle(_wrapped(lacks, 60 * columns), fontsize=7)
        for axes, one in zip(panels, found, strict=False):
            for kind, (colour, marker) in (("document", DOCUMENT), ("memory", MEMORY)):
                across, up = zip(*one[kind], strict=True)
                axes.scatter(across, up, s=9, color=colour, marker=marker, alpha=0.6, lw=0, label=f"{kind} states")
            axes.set_title(
                f"{_checkpoint_label(one['checkpoint'])}\nmixing {one['mixing']:.2f}, cosine {one['cosine']:.2f}"
            )
            axes.set_xticks([])
            axes.set_yticks([])
        for axes in panels[len(found) :]:
            say_nothing(axes, "")
        _legend(figure, panels[0])


def _variant(checkpoint: str) -> str:
    name = system_name(checkpoint)
    assert name is not None
    return name.variant


def _checkpoint_label(checkpoint: str) -> str:
    name = system_name(checkpoint)
    assert name is not None
    return f"{name.init} {name._replace(init='').label}"


def draw_logit_lens(path: Path, found: Sequence[CheckpointDiagnostics]) -> None:
    """Words that the head reads from questions' memories; those that the question lacks stand out (Fig. 4)."""
    cases = [(row.checkpoint.label, lens) for row in found for lens in row.found.questions[:CASES]]
    height = 0.9 * max(1, len(cases))
    with drawing(path, 1, 1, size=(9.6, 0.4 + height)) as (_, (axes,)):
        say_nothing(axes, "" if cases else "no checkpoint of joint training")
        for number, (label, lens) in enumerate(cases):
            top = 1 - number / max(1, len(cases))
            step = 0.9 / max(1, len(cases))
            question = textwrap.shorten(lens.question, 110, placeholder=" …")
            axes.text(0, top, f"{label}: {question}", va="top", transform=axes.transAxes, weight="bold", fontsize=8.5)
            known = [word for word in lens.words if word not in lens.new]
            for line, (name, words, colour) in enumerate(
                (("new", lens.new, MEMORY[0]), ("of the question", known, INK)), 1
            ):
                axes.text(
                    0.02,
                    top - line * step / 3,
                    f"{name}: {', '.join(words) or 'none'}".replace("$", r"\$"),
                    va="top",
                    transform=axes.transAxes,
                    color=colour,
                    fontsize=8.5,
                )


def _line(axes: "Axes", points: Sequence[tuple[int, float]], palette: Palette, course: Course) -> None:
    style = palette.of_name(course.checkpoint.name)
    axes.plot(
        [step for step, _ in points],
        [value for _, value in points],
        color=style.colour,
        marker=style.marker,
        ms=4,
        label=course.checkpoint.name.label,
    )


def _axes(axes: "Axes", title: str, across: str, up: str) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_title(title)
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _ratio_axis(axes: "Axes", ratios: Sequence[int]) -> None:
    if ratios:
        axes.set_xscale("log", base=2)
        ticks = sorted(set(ratios))
        axes.set_xticks(ticks, [str(ratio) for ratio in ticks])


def _legend(figure: Any, axes: "Axes") -> None:
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        legend_below(figure, handles, labels)
