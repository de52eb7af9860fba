"""Legends stay within the figure."""

from pathlib import Path

import pytest

from clara.evaluation.figure_style import drawing, legend_below


@pytest.mark.parametrize(("label", "columns"), [("CR 4", {4}), ("CR 16, from pretraining, frozen_reasoner", {2, 3})])
def test_a_legend_takes_as_many_columns_as_the_figure_is_wide(tmp_path: Path, label: str, columns: set[int]) -> None:
    with drawing(tmp_path / "a.svg", 1, 2, size=(9.6, 3.6)) as (figure, (axes, _)):
        lines = [axes.plot([0, 1], [0, place])[0] for place in range(6)]
        legend_below(figure, lines, [label] * 6)
        (legend,) = figure.legends
        assert legend._ncols in columns
        assert legend.get_window_extent().width <= figure.bbox.width
        assert len(legend.get_texts()) == 6
