"""The look of figures: colours, hatches and markers by system, and saving as reproducible SVG."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from clara.evaluation.labels import Name, system_name
from clara.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#1f2a37"
"""Text and axes; the page puts its own text colour in its place."""
GRID = "#c9d0d9"
"""Grid lines; likewise."""

# Okabe and Ito's palette, told apart under the common colour deficiencies, dark enough for white and light enough for
# a dark page. Ratios take the first list in turn, whatever a figure shows, so that a colour means one thing throughout.
_RATIO_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#B8860B")
_BASELINE_COLOURS = {"no_retrieval": "#8A919C", "text_rag": "#D55E00", "bm25": "#7A6FBE"}
_HATCHES = ("", "///", "...", "xxx", "\\\\\\", "++", "oo")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")

_RC: dict[Any, Any] = {
    "svg.hashsalt": "clara",
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid.axis": "y",
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "hatch.linewidth": 0.7,
    "lines.linewidth": 1.8,
}


class Style(NamedTuple):
    """How one system or checkpoint is drawn."""

    colour: str
    hatch: str
    marker: str


class Palette:
    """The styles of a report's systems: ratio gives the colour, start and variant give hatch and marker."""

    def __init__(self, names: Sequence[Name]) -> None:
        """
        Args:
            names: every name that the report shows.
        """
        self._ratios = sorted({name.ratio for name in names})
        self._variants = sorted({name.variant for name in names}, key=lambda variant: (variant != "base", variant))
        inits = {name.init for name in names if name.init}
        self._kinds = [(init, variant) for variant in self._variants for init in sorted(inits)]

    def of_name(self, name: Name) -> Style:
        """The style of a CLaRa system or checkpoint."""
        colour = _RATIO_COLOURS[self._ratios.index(name.ratio) % len(_RATIO_COLOURS)]
        if name.init:
            kind = self._kinds.index((name.init, name.variant))
        else:
            kind = self._variants.index(name.variant)
        return Style(colour, _HATCHES[kind % len(_HATCHES)], _MARKERS[kind % len(_MARKERS)])

    def of_system(self, system: str) -> Style:
        """The style of any system, baselines included."""
        name = system_name(system)
        return self.of_name(name) if name else Style(_BASELINE_COLOURS.get(system, INK), "", "o")


@contextmanager
def drawing(path: Path, rows: int, columns: int, *, size: tuple[float, float]) -> "Iterator[tuple[Figure, list[Axes]]]":
    """A figure and its axes, row by row; saved as SVG and, beside it, as PNG, without date.

    Args:
        path: the SVG file.
        rows: rows of axes.
        columns: columns of axes.
        size: width and height in inches.
    """
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_RC):
        figure = Figure(figsize=size, layout="constrained")
        axes = list(figure.subplots(rows, columns, squeeze=False).flat)
        yield figure, axes
        with atomic_path(path) as temporary:
            figure.savefig(temporary, format="svg", transparent=True, metadata={"Date": None})
        with atomic_path(path.with_suffix(".png")) as temporary:
            figure.savefig(temporary, format="png", dpi=150, facecolor="white")


def legend_below(figure: "Figure", handles: "Sequence[Artist]", labels: Sequence[str]) -> None:
    """A legend under the plots, in at most four columns, fewer where those would be wider than the figure."""
    for columns in range(min(4, len(handles)), 0, -1):
        legend = figure.legend(handles, labels, loc="outside lower center", ncols=columns)
        if columns == 1 or legend.get_window_extent().width <= figure.bbox.width:
            return
        legend.remove()


def say_nothing(axes: "Axes", text: str) -> None:
    """Puts `text` in place of a plot that has no data."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes)
