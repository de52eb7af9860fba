"""Result tables as rows of cells, before they become Markdown, LaTeX, a page or lines of a terminal."""

from collections.abc import Sequence
from typing import NamedTuple

from clara.evaluation.comparisons import Comparison
from clara.evaluation.labels import benchmark_label, benchmark_order, is_main, metric_label, setting_label, system_label
from clara.evaluation.results import CONDITIONS, CheckpointDiagnostics, CheckpointUse, Interval, SystemScore
from clara.evaluation.scoring import AVERAGE
from clara.evaluation.seeds import OverSeeds


class Cell(NamedTuple):
    """A number with its interval, already rounded, or a missing one (empty `value`)."""

    value: str
    low: str = ""
    high: str = ""
    best: bool = False
    """Printed in bold: the highest of its column, or a difference that is decided."""

    @property
    def interval(self) -> str:
        """`[low, high]`, or nothing."""
        return f"[{self.low}, {self.high}]" if self.low else ""


class Head(NamedTuple):
    """The head of a column of cells."""

    name: str
    short: str
    """The name where there is little room."""
    n: int = 0
    """Questions behind the column; 0 where the caption or another table says it."""
    key: bool = False
    """The column whose intervals matter most."""

    @property
    def full(self) -> str:
        """Name and number of questions."""
        return f"{self.name} (n = {self.n})" if self.n else self.name


class Grid(NamedTuple):
    """A table ready to be written."""

    caption: str
    corner: str
    """Head of the row labels."""
    heads: list[Head]
    labels: list[str]
    cells: list[list[Cell]]
    """One row a label, one cell a head."""

    @property
    def full_heads(self) -> list[str]:
        """All heads in full, the corner first."""
        return [self.corner, *(head.full for head in self.heads)]


def main_grids(scores: Sequence[SystemScore]) -> list[Grid]:
    """The tables that are printed: the main answer metrics and recall, setting by setting."""
    settings = dict.fromkeys(row.score.setting for row in scores)
    return [grid for setting in settings for metric, grid in result_grids(scores, setting).items() if is_main(metric)]


def result_grids(scores: Sequence[SystemScore], setting: str) -> dict[str, Grid]:
    """Metric → table of systems by benchmarks, for one setting of the candidate pools."""
    mine = [row for row in scores if row.score.setting == setting]
    metrics = dict.fromkeys(row.score.metric for row in mine)
    return {metric: _grid([row for row in mine if row.score.metric == metric], setting) for metric in metrics}


def _grid(rows: Sequence[SystemScore], setting: str) -> Grid:
    benchmarks = sorted({row.score.benchmark for row in rows}, key=benchmark_order)
    systems = list(dict.fromkeys(row.system for row in rows))
    by_place = {(row.system, row.score.benchmark): row.score for row in rows}
    tops = {b: max(row.score.value for row in rows if row.score.benchmark == b) for b in benchmarks}

    def cell(system: str, benchmark: str) -> Cell:
        score = by_place.get((system, benchmark))
        if score is None:
            return Cell("")
        best = len(systems) > 1 and score.value == tops[benchmark] > 0
        return Cell(f"{score.value:.1f}", f"{score.low:.1f}", f"{score.high:.1f}", best)

    counts = {b: max(row.score.n for row in rows if row.score.benchmark == b) for b in benchmarks}
    return Grid(
        f"{metric_label(rows[0].score.metric)} (%), {setting_label(setting)}",
        "System",
        [Head(benchmark_label(b), benchmark_label(b), counts[b], key=b == AVERAGE) for b in benchmarks],
        [system_label(system) for system in systems],
        [[cell(system, benchmark) for benchmark in benchmarks] for system in systems],
    )


def comparison_grids(compared: Sequence[Comparison]) -> list[Grid]:
    """Paired differences, a table for every setting and metric: systems by baselines, bold what is decided."""
    places = dict.fromkeys((row.setting, row.metric) for row in compared)
    return [_differences([row for row in compared if (row.setting, row.metric) == place]) for place in places]


def _differences(rows: Sequence[Comparison]) -> Grid:
    systems = list(dict.fromkeys(row.system for row in rows))
    baselines = list(dict.fromkeys(row.baseline for row in rows))
    by_place = {(row.system, row.baseline): row.estimate for row in rows}

    def cell(system: str, baseline: str) -> Cell:
        found = by_place.get((system, baseline))
        if found is None:
            return Cell("")
        value, low, high = (f"{number:+.1f}" for number in found[:3])
        return Cell(value, low, high, best=found.verdict != "unclear")

    counts = {name: max(row.estimate.n for row in rows if row.baseline == name) for name in baselines}
    return Grid(
        f"{metric_label(rows[0].metric)} (points), {setting_label(rows[0].setting)}: system minus baseline, bold where "
        "the interval leaves out zero",
        "System",
        [Head(system_label(name), system_label(name), counts[name]) for name in baselines],
        [system_label(system) for system in systems],
        [[cell(system, name) for name in baselines] for system in systems],
    )


def seed_grids(rows: Sequence[OverSeeds]) -> list[Grid]:
    """Main scores over seeds, a table for every setting and metric: systems by benchmarks."""
    places = dict.fromkeys((row.setting, row.metric) for row in rows if is_main(row.metric))
    return [_over_seeds([row for row in rows if (row.setting, row.metric) == place]) for place in places]


def _over_seeds(rows: Sequence[OverSeeds]) -> Grid:
    benchmarks = sorted({row.benchmark for row in rows}, key=benchmark_order)
    systems = list(dict.fromkeys(row.system for row in rows))
    by_place = {(row.system, row.benchmark): row for row in rows}

    def cell(system: str, benchmark: str) -> Cell:
        found = by_place.get((system, benchmark))
        if found is None:
            return Cell("")
        return Cell(f"{found.mean:.1f} ± {found.spread:.1f}", f"{found.least:.1f}", f"{found.greatest:.1f}")

    counts = {name: max(row.n for row in rows if row.benchmark == name) for name in benchmarks}
    return Grid(
        f"{metric_label(rows[0].metric)} (%), {setting_label(rows[0].setting)}: mean ± standard deviation "
        f"[least, greatest] of {rows[0].seeds} seeds",
        "System",
        [Head(benchmark_label(name), benchmark_label(name), counts[name], key=name == AVERAGE) for name in benchmarks],
        [system_label(system) for system in systems],
        [[cell(system, name) for name in benchmarks] for system in systems],
    )


def memory_use_grid(uses: Sequence[CheckpointUse]) -> Grid:
    """Table of checkpoints by what the generator read, with the difference that decides."""

    def cell(interval: Interval) -> Cell:
        return Cell(f"{interval.mean:.3f}", f"{interval.low:.3f}", f"{interval.high:.3f}")

    return Grid(
        "Memory use: loss of the target in nats a token, by what the generator read",
        "Checkpoint",
        [
            Head("Uses its memories", "used"),
            Head("Wrong minus right", "wrong - right", key=True),
            *(Head(label.capitalize(), condition) for condition, label in CONDITIONS.items()),
        ],
        [row.checkpoint.label for row in uses],
        [
            [
                Cell("yes" if row.use.used else "not shown"),
                cell(row.use.wrong_minus_right),
                *(cell(getattr(row.use.losses, condition)) for condition in CONDITIONS),
            ]
            for row in uses
        ],
    )


def validation_grid(diagnostics: Sequence[CheckpointDiagnostics]) -> Grid:
    """Last validation loss by stage (rows) and compression ratio (columns)."""
    ratios = sorted({row.checkpoint.name.ratio for row in diagnostics})
    places = {
        (row.checkpoint.stage, row.checkpoint.name._replace(ratio=0).label, row.checkpoint.name.ratio): row.found
        for row in diagnostics
    }
    kinds = list(dict.fromkeys(place[:2] for place in places))

    def cell(kind: tuple[str, str], ratio: int) -> Cell:
        found = places.get((*kind, ratio))
        return Cell(f"{found.validation_loss.last:.3f}" if found and found.validation_loss else "")

    return Grid(
        "Validation loss after the last step, by compression ratio",
        "Stage",
        [Head(f"CR {ratio}", f"CR {ratio}") for ratio in ratios],
        [stage + label.removeprefix("CR 0") for stage, label in kinds],
        [[cell(kind, ratio) for ratio in ratios] for kind in kinds],
    )


def diagnostics_grid(diagnostics: Sequence[CheckpointDiagnostics]) -> Grid:
    """Gradient norms by adapter and the share of memories near a word of their document, by checkpoint."""
    roles = list(dict.fromkeys(role for row in diagnostics for role in row.found.gradient_norms))
    return Grid(
        "Gradient norm of each adapter at the last logged step, and document memories near a word of their document",
        "Checkpoint",
        [*(Head(role.replace("_", " ").capitalize(), role) for role in roles), Head("Memories near (%)", "near")],
        [row.checkpoint.label for row in diagnostics],
        [
            [
                *(Cell(f"{norms[role]:.3g}" if role in norms else "") for role in roles),
                Cell(f"{100 * row.found.share_named:.0f}"),
            ]
            for row in diagnostics
            for norms in [row.found.gradient_norms]
        ],
    )
