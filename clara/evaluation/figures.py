"""The report's four figures: loss curves, recall, answers, memory use."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from clara.evaluation.figure_style import INK, Palette, drawing, legend_below, say_nothing
from clara.evaluation.labels import (
    STAGES,
    benchmark_label,
    benchmark_order,
    metric_label,
    setting_label,
    system_label,
)
from clara.evaluation.results import CONDITIONS, CheckpointUse, History, Interval, SystemScore

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Chance = Mapping[tuple[str, str, str], float]
"""(setting, metric, benchmark) → percent that a random order would reach."""

_CONDITION_STYLES = {
    "right": ("#0072B2", "o"),
    "wrong": ("#D55E00", "X"),
    "none": ("#8A919C", "s"),
    "text": ("#009E73", "^"),
}


def draw_losses(path: Path, histories: Sequence[History], palette: Palette) -> None:
    """Training and validation loss by step, one panel a stage."""
    stages = [stage for stage in STAGES if any(history.checkpoint.stage == stage for history in histories)]
    with drawing(path, 1, max(1, len(stages)), size=(3.6 * max(2, len(stages)), 3.4)) as (_, panels):
        if not stages:
            say_nothing(panels[0], "no histories")
        for axes, stage in zip(panels, stages, strict=False):
            axes.set_title(stage)
            axes.set_xlabel("optimizer step")
            for history in histories:
                if history.checkpoint.stage == stage:
                    _draw_history(axes, history, palette)
            axes.legend(fontsize=8, title="validation; thin: training", title_fontsize=8)
        panels[0].set_ylabel("loss (nats a token)")


def _draw_history(axes: "Axes", history: History, palette: Palette) -> None:
    style = palette.of_name(history.checkpoint.name)
    dashes = "-" if style.marker == "o" else "--"
    training, validation = history.losses("train"), history.losses("validation")
    axes.plot(
        [step for step, _ in training], [loss for _, loss in training], dashes, color=style.colour, lw=0.8, alpha=0.6
    )
    axes.plot(
        [step for step, _ in validation],
        [loss for _, loss in validation],
        dashes,
        color=style.colour,
        marker=style.marker,
        markersize=5,
        label=history.checkpoint.name.label,
    )


def draw_bars(
    path: Path, scores: Sequence[SystemScore], metrics: Sequence[str], palette: Palette, *, chance: Chance | None = None
) -> None:
    """Bars with intervals: a panel for each setting (rows) and metric (columns), a group of bars a benchmark.

    Args:
        path: the SVG file.
        scores: all scores; those of other metrics are left out.
        metrics: the metrics to show.
        palette: the systems' styles.
        chance: what a random order would reach; drawn as a dashed line across a group.
    """
    shown = [row for row in scores if row.score.metric in metrics]
    settings = list(dict.fromkeys(row.score.setting for row in shown))
    metrics = [metric for metric in metrics if any(row.score.metric == metric for row in shown)]
    rows, columns = max(1, len(settings)), max(1, len(metrics))
    with drawing(path, rows, columns, size=(4.2 * max(2, columns), 0.6 + 2.9 * rows)) as (figure, panels):
        places = [(setting, metric) for setting in settings for metric in metrics]
        if not places:
            say_nothing(panels[0], "no system of this run gives these numbers")
        for axes, (setting, metric) in zip(panels, places, strict=False):
            rows_here = [row for row in shown if (row.score.setting, row.score.metric) == (setting, metric)]
            axes.set_title(f"{metric_label(metric)}, {setting_label(setting)}")
            _draw_groups(axes, rows_here, palette, chance or {})
        for first in panels[::columns] if places else []:
            first.set_ylabel("percent")
        handles = {label: h for axes in panels for h, label in zip(*axes.get_legend_handles_labels(), strict=True)}
        if handles:
            legend_below(figure, [*handles.values()], [*handles])


def _draw_groups(axes: "Axes", rows: Sequence[SystemScore], palette: Palette, chance: Chance) -> None:
    benchmarks = sorted({row.score.benchmark for row in rows}, key=benchmark_order)
    systems = list(dict.fromkeys(row.system for row in rows))
    width = 0.82 / max(1, len(systems))
    for index, system in enumerate(systems):
        mine = [row.score for row in rows if row.system == system]
        style = palette.of_system(system)
        axes.bar(
            [benchmarks.index(score.benchmark) - 0.41 + width * (index + 0.5) for score in mine],
            [score.value for score in mine],
            width * 0.9,
            # The percentile interval of a skewed metric can leave the value outside by a rounding; bars cannot.
            yerr=[
                [max(0.0, score.value - score.low) for score in mine],
                [max(0.0, score.high - score.value) for score in mine],
            ],
            color=style.colour,
            edgecolor=INK,
            linewidth=0.4,
            hatch=style.hatch,
            error_kw={"ecolor": INK, "elinewidth": 1.0, "capsize": min(3.0, 14 * width)},
            label=system_label(system),
        )
    for position, benchmark in enumerate(benchmarks):
        level = chance.get((rows[0].score.setting, rows[0].score.metric, benchmark))
        if level is not None:
            ends = (position - 0.45, position + 0.45)
            axes.plot(ends, (level, level), linestyle=(0, (3, 2)), color=INK, lw=1.1, label="random order")
    axes.set_xticks(range(len(benchmarks)), [benchmark_label(benchmark) for benchmark in benchmarks], fontsize=8.5)
    axes.set_ylim(0, max(10.0, min(100.0, 1.08 * max(row.score.high for row in rows))))


def draw_memory_use(path: Path, uses: Sequence[CheckpointUse]) -> None:
    """Loss by what the generator read, and the difference between a wrong and the right document."""
    with drawing(path, 1, 2, size=(10.5, 1.7 + 0.42 * max(2, len(uses)))) as (figure, (losses, difference)):
        if not uses:
            say_nothing(losses, "no memory use")
            say_nothing(difference, "")
            return
        positions = range(len(uses))
        for index, (condition, (colour, marker)) in enumerate(_CONDITION_STYLES.items()):
            heights = [position + 0.16 * index - 0.24 for position in positions]
            intervals = [getattr(row.use.losses, condition) for row in uses]
            _draw_intervals(losses, heights, intervals, colour=colour, marker=marker, label=CONDITIONS[condition])
        losses.set_title("Loss of the target")
        losses.set_xlabel("nats a token, lower is better")
        figure.legend(loc="outside lower center", ncols=4)
        gaps = [row.use.wrong_minus_right for row in uses]
        _draw_intervals(difference, positions, gaps, colour=INK, marker="D", label="")
        difference.axvline(0, color=INK, lw=1, linestyle=(0, (3, 2)))
        difference.set_title("Wrong minus right: above 0, memories are used")
        difference.set_xlabel("nats a token")
        for axes in (losses, difference):
            axes.grid(axis="y", visible=False)
            axes.grid(axis="x", visible=True)
            axes.set_ylim(len(uses) - 0.5, -0.5)
        losses.set_yticks(positions, [row.checkpoint.label for row in uses])
        difference.set_yticks(positions, [""] * len(uses))


def _draw_intervals(
    axes: "Axes", heights: Sequence[float], intervals: Sequence[Interval], *, colour: str, marker: str, label: str
) -> None:
    axes.errorbar(
        [interval.mean for interval in intervals],
        heights,
        xerr=[
            [max(0.0, interval.mean - interval.low) for interval in intervals],
            [max(0.0, interval.high - interval.mean) for interval in intervals],
        ],
        fmt=marker,
        color=colour,
        markersize=5.5,
        elinewidth=1.4,
        capsize=2.5,
        label=label,
    )
