"""Tables as CSV, Markdown and LaTeX, and on a terminal."""

import csv
import io
from pathlib import Path

import pytest

from clara.errors import DataError
from clara.evaluation.bootstrap import Estimate
from clara.evaluation.comparisons import Comparison
from clara.evaluation.grids import (
    Cell,
    Grid,
    Head,
    comparison_grids,
    main_grids,
    memory_use_grid,
    result_grids,
    seed_grids,
)
from clara.evaluation.labels import Checkpoint, Name
from clara.evaluation.results import CheckpointUse, MemoryUse, Score, SystemScore
from clara.evaluation.seeds import OverSeeds
from clara.evaluation.tables import (
    escape_latex,
    latex,
    markdown,
    memory_use_csv,
    read_memory_use_csv,
    read_results_csv,
    results_csv,
)
from clara.evaluation.terminal import lines, summary


def scored(system: str, benchmark: str, value: float, metric: str = "f1", setting: str = "oracle") -> SystemScore:
    score = Score(
        benchmark=benchmark, setting=setting, metric=metric, value=value, low=value - 1.25, high=value + 1.25, n=8
    )
    return SystemScore(system, 0.95, score)


SCORES = [
    scored("text_rag", "nq", 12.345678),
    scored("instruction-cr4-base", "nq", 50.0),
    scored("instruction-cr4-base", "average", 50.0),
]


def use(low: float) -> CheckpointUse:
    interval = {"mean": 0.1234567, "low": low, "high": 0.5}
    value = {
        "n": 9,
        "confidence": 0.95,
        "losses": dict.fromkeys(("right", "wrong", "none", "text"), interval),
        "wrong_minus_right": interval,
    }
    return CheckpointUse(Checkpoint("joint", Name("instruction", 4, "base")), MemoryUse.model_validate(value))


def test_a_table_has_systems_as_rows_and_benchmarks_as_columns_with_gaps_left_empty() -> None:
    grid = result_grids(SCORES, "oracle")["f1"]
    assert grid.full_heads == ["System", "NQ (n = 8)", "Average (n = 8)"]
    assert grid.labels == ["Text RAG", "CLaRa CR 4, from instruction"]
    assert grid.cells[0] == [Cell("12.3", "11.1", "13.6"), Cell("")]
    assert grid.cells[1][0] == Cell("50.0", "48.8", "51.2", best=True)


def test_nobody_is_best_where_all_are_zero_or_nobody_else_competes() -> None:
    zero = result_grids([scored("a", "nq", 0.0), scored("b", "nq", 0.0)], "oracle")["f1"]
    alone = result_grids([scored("a", "nq", 5.0)], "oracle")["f1"]
    assert not any(cell.best for grid in (zero, alone) for row in grid.cells for cell in row)


def test_printed_tables_leave_first_gold_variants_to_the_csv_file() -> None:
    scores = [*SCORES, scored("text_rag", "nq", 1.0, "f1_first"), scored("bm25", "nq", 1.0, "recall@5", "normal")]
    assert [grid.caption for grid in main_grids(scores)] == ["F1 (%), Oracle pool", "Recall@5 (%), Normal pool"]
    assert "f1_first" in results_csv(scores)


def test_the_csv_file_keeps_every_digit() -> None:
    rows = list(csv.DictReader(io.StringIO(results_csv(SCORES))))
    assert rows[0] == {
        "system": "text_rag",
        "benchmark": "nq",
        "setting": "oracle",
        "metric": "f1",
        "value": "12.345678",
        "low": "11.095678",
        "high": "13.595678",
        "n": "8",
        "confidence": "0.95",
    }


def test_markdown_shows_values_with_intervals_and_the_best_in_bold() -> None:
    assert markdown(result_grids(SCORES, "oracle")["f1"]) == (
        "**F1 (%), Oracle pool**\n"
        "\n"
        "| System | NQ (n = 8) | Average (n = 8) |\n"
        "| --- | --: | --: |\n"
        "| Text RAG | 12.3 [11.1, 13.6] | - |\n"
        "| CLaRa CR 4, from instruction | **50.0** [48.8, 51.2] | **50.0** [48.8, 51.2] |\n"
    )


def test_a_bar_in_a_name_does_not_break_a_markdown_row() -> None:
    assert r"a\|b" in markdown(Grid("c", "System", [Head("NQ", "NQ")], ["a|b"], [[Cell("1")]]))


def test_latex_escapes_names_and_keeps_its_own_commands() -> None:
    text = latex(Grid("50 % of a_b & {c}", "System", [Head("x^2", "x")], ["$1 #2 ~ \\"], [[Cell("1", "0", "2", True)]]))
    assert r"\caption{50 \% of a\_b \& \{c\}}" in text
    assert r"System & x\textasciicircum{}2 \\" in text
    assert r"\$1 \#2 \textasciitilde{} \textbackslash{} & \textbf{1} {\scriptsize [0, 2]} \\" in text
    assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")


def test_latex_leaves_plain_text_alone() -> None:
    assert escape_latex("CLaRa CR 4, from instruction") == "CLaRa CR 4, from instruction"


def test_memory_use_tables_say_whether_memories_are_used() -> None:
    grid = memory_use_grid([use(0.01), use(-0.01)])
    assert [row[0].value for row in grid.cells] == ["yes", "not shown"]
    assert grid.cells[1][1] == Cell("0.123", "-0.010", "0.500")


def test_differences_are_a_table_a_metric_of_systems_by_baselines_with_what_is_decided_in_bold() -> None:
    ours, other = "instruction-cr4-base", "instruction-cr16-base"
    compared = [
        Comparison("oracle", "f1", ours, "text_rag", Estimate(-2.04, -4.0, -0.04, 48)),
        Comparison("oracle", "f1", ours, "no_retrieval", Estimate(1.25, -1.0, 3.5, 48)),
        Comparison("oracle", "f1", other, "text_rag", Estimate(0.0, -1.0, 1.0, 48)),
        Comparison("oracle", "recall@3", ours, "bm25", Estimate(5.0, 1.0, 9.0, 40)),
    ]
    f1, recall = comparison_grids(compared)
    assert f1.caption.startswith("F1 (points), Oracle pool: system minus baseline")
    assert f1.full_heads == ["System", "Text RAG (n = 48)", "No retrieval (n = 48)"]
    assert f1.cells == [
        [Cell("-2.0", "-4.0", "-0.0", best=True), Cell("+1.2", "-1.0", "+3.5")],
        [Cell("+0.0", "-1.0", "+1.0"), Cell("")],
    ]
    assert (recall.labels, recall.cells) == (["CLaRa CR 4, from instruction"], [[Cell("+5.0", "+1.0", "+9.0", True)]])
    assert comparison_grids([]) == []


def test_scores_over_seeds_are_tables_of_main_metrics_with_spread_and_range() -> None:
    row = OverSeeds("instruction-cr4-base", "nq", "normal", "f1", 3, 8.12, 1.94, 6.04, 9.8, 4.0, 12.0, 48)
    rows = [row, row._replace(benchmark="average", mean=7.0), row._replace(metric="f1_first")]
    [grid] = seed_grids(rows)
    assert grid.caption == "F1 (%), Normal pool: mean ± standard deviation [least, greatest] of 3 seeds"
    assert grid.full_heads == ["System", "NQ (n = 48)", "Average (n = 48)"]
    assert grid.cells == [[Cell("8.1 ± 1.9", "6.0", "9.8"), Cell("7.0 ± 1.9", "6.0", "9.8")]]
    assert r"8.1 \textpm{} 1.9 {\scriptsize [6.0, 9.8]}" in latex(grid)


def test_the_memory_use_csv_has_a_line_for_each_quantity() -> None:
    rows = list(csv.DictReader(io.StringIO(memory_use_csv([use(0.01)]))))
    assert [row["quantity"] for row in rows] == ["right", "wrong", "none", "text", "wrong_minus_right"]
    assert (rows[4]["stage"], rows[4]["ratio"], rows[4]["init"], rows[4]["mean"]) == (
        "joint",
        "4",
        "instruction",
        "0.1234567",
    )


def test_a_terminal_gets_all_intervals_or_those_of_the_average_or_folded_columns_by_its_width() -> None:
    grid = result_grids(SCORES, "oracle")["f1"]
    wide, middle, narrow = (lines(grid, width=width) for width in (80, 60, 40))
    assert "12.3 [11.1, 13.6]" in wide
    assert "12.3 [" not in middle
    assert "50.0 [48.8, 51.2]" in middle
    assert narrow.count("CLaRa CR 4, from instruction") == 2
    for text, width in ((wide, 80), (middle, 60)):
        assert max(map(len, text.splitlines()[1:])) <= width


def test_the_columns_of_a_terminal_table_are_aligned() -> None:
    rows = lines(result_grids(SCORES, "oracle")["f1"], width=100).splitlines()[1:]
    assert len({len(row) for row in rows}) == 1


def test_csv_tables_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(results_csv(SCORES))
    assert read_results_csv(path) == SCORES
    path.write_text(memory_use_csv([use(0.1)]))
    assert read_memory_use_csv(path) == [use(0.1)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "t.csv must begin with system,benchmark"),
        (results_csv(SCORES).replace("50.0", "many", 1), "t.csv line 3: could not convert string to float: 'many'"),
    ],
)
def test_a_table_of_another_form_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "t.csv"
    with pytest.raises(DataError, match=r"t.csv does not exist; run the step that makes the report"):
        read_results_csv(path)
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_results_csv(path)


def test_the_summary_ends_with_the_place_of_the_report(tmp_path: Path) -> None:
    page = tmp_path / "index.html"
    assert summary(SCORES, [use(0.1)], page, width=80).endswith(f"not made yet: {page}")
    page.write_text("")
    assert summary(SCORES, [use(0.1)], page, width=80).endswith(page.as_uri())
