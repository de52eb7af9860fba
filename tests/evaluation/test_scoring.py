"""From predictions to metrics."""

import json
from pathlib import Path
from typing import Any

import pytest

from clara.errors import DataError
from clara.evaluation.scoring import Resampling, Row, score, score_file
from clara.records import Prediction
from clara.row_files import write_rows

RESAMPLING = Resampling(samples=200, confidence=0.9, seed=7)


def prediction(id_: str, **changes: Any) -> Prediction:
    row = {
        "system": "one",
        "benchmark": "nq",
        "setting": "oracle",
        "id": id_,
        "question": "Where?",
        "golden_answers": ["Paris"],
        "prediction": "Paris",
        "ranking": [1, 0, 2],
        "scores": [0.1, 0.9, 0.0],
        "selected": [1],
        "pos_index": [1],
    }
    return Prediction(**(row | changes))


def table(rows: list[Prediction]) -> dict[tuple[str, str, str], Row]:
    scored = score(rows, recall_cuts=[1, 3], resampling=RESAMPLING)
    return {(row.benchmark, row.setting, row.metric): row for row in scored}


def test_values_are_percentages_over_questions_and_the_average_is_over_benchmarks() -> None:
    rows = [prediction(str(i), prediction="Paris" if i else "Rome") for i in range(4)]
    rows += [prediction("a", benchmark="musique", prediction="Rome", pos_index=[2])]
    scores = table(rows)
    assert (scores["nq", "oracle", "em"].value, scores["nq", "oracle", "em"].n) == (75.0, 4)
    assert scores["musique", "oracle", "em"].value == 0.0
    assert (scores["average", "oracle", "em"].value, scores["average", "oracle", "em"].n) == (37.5, 5)
    assert scores["average", "oracle", "recall@1"].value == 50.0
    assert scores["average", "oracle", "recall@3"].value == 100.0


def test_recall_leaves_out_questions_without_gold_documents_and_says_how_many_remain() -> None:
    scores = table([prediction("1"), prediction("2", pos_index=[]), prediction("3", pos_index=[0])])
    assert scores["nq", "oracle", "recall@1"][3:] == (50.0, 0.0, 100.0, 2)
    assert scores["nq", "oracle", "em"].n == 3


def test_a_benchmark_without_any_gold_document_is_left_out_of_the_average_recall() -> None:
    scores = table([prediction("1"), prediction("1", benchmark="musique", pos_index=[])])
    assert ("musique", "oracle", "recall@1") not in scores
    assert (scores["average", "oracle", "recall@1"].value, scores["average", "oracle", "recall@1"].n) == (100.0, 1)


def test_settings_are_scored_apart_even_with_equal_ids() -> None:
    scores = table([prediction("1"), prediction("1", setting="normal", prediction="Rome")])
    assert (scores["nq", "oracle", "em"].value, scores["nq", "normal", "em"].value) == (100.0, 0.0)


def test_a_system_that_only_ranks_gets_recall_only() -> None:
    metrics = {row.metric for row in table([prediction("1", prediction=None)]).values()}
    assert metrics == {"recall@1", "recall@3"}


def test_a_system_that_does_not_rank_gets_answers_only() -> None:
    metrics = {row.metric for row in table([prediction("1", ranking=None)]).values()}
    assert metrics == {"em", "f1", "cover_em", "span_em", "em_first", "f1_first", "cover_em_first"}


def test_intervals_hold_the_value_and_the_average_over_more_questions_is_narrower() -> None:
    rows = [prediction(str(i), benchmark=b, prediction="Paris" if i % 2 else "Rome") for i in range(30) for b in "xyz"]
    scores = table(rows)
    one, mean = scores["x", "oracle", "em"], scores["average", "oracle", "em"]
    assert one.low < 50.0 < one.high
    assert (mean.high - mean.low) < 0.8 * (one.high - one.low)


def test_another_benchmark_moves_no_interval() -> None:
    rows = [prediction(str(i), prediction="Paris" if i % 3 else "Rome") for i in range(12)]
    alone = table(rows)["nq", "oracle", "f1"]
    assert table([*rows, prediction("z", benchmark="2wiki")])["nq", "oracle", "f1"] == alone


def test_the_file_holds_system_confidence_and_rows_and_is_the_same_twice(tmp_path: Path) -> None:
    write_rows(tmp_path / "p.jsonl", [prediction(str(i), prediction="Paris" if i else "Rome") for i in range(5)])
    for name in ("a.json", "b.json"):
        score_file(tmp_path / "p.jsonl", tmp_path / name, recall_cuts=[1], resampling=RESAMPLING)
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    value = json.loads((tmp_path / "a.json").read_text())
    assert (value["system"], value["confidence"], len(value["rows"])) == ("one", 0.9, 16)
    assert list(value["rows"][0]) == ["benchmark", "setting", "metric", "value", "low", "high", "n"]


def test_the_file_names_the_main_averages_of_each_setting_beside_its_rows(tmp_path: Path) -> None:
    rows = [prediction("1", setting=setting, benchmark=b) for setting in ("oracle", "normal") for b in ("nq", "2wiki")]
    write_rows(tmp_path / "p.jsonl", [*rows, prediction("2", setting="oracle", prediction="Rome", ranking=[0, 1, 2])])
    score_file(tmp_path / "p.jsonl", tmp_path / "m.json", recall_cuts=[1], resampling=RESAMPLING)
    best = dict.fromkeys(("em", "f1", "cover_em", "recall@1"), 100.0)
    assert json.loads((tmp_path / "m.json").read_text())["average"] == {
        "oracle": dict.fromkeys(best, 75.0),  # of 50 on one benchmark and 100 on the other
        "normal": best,
    }


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([prediction("1"), prediction("1")], r"row 2 repeats question 1 of nq \(oracle\)"),
        ([prediction("1"), prediction("2", system="two")], "mixes the systems one, two"),
        ([prediction("1"), prediction("2", prediction=None)], r"row 2 \(question 2\) answers or ranks where"),
        ([prediction("1", golden_answers=[])], r"row 1 \(question 1\) has no gold answer"),
        ([prediction("1", prediction=None, ranking=None)], "neither answers nor ranks"),
        ([], "holds no rows"),
    ],
)
def test_unusable_predictions_are_refused_and_leave_no_file(
    rows: list[Prediction], message: str, tmp_path: Path
) -> None:
    write_rows(tmp_path / "p.jsonl", rows)
    with pytest.raises(DataError, match=message):
        score_file(tmp_path / "p.jsonl", tmp_path / "m.json", recall_cuts=[1], resampling=RESAMPLING)
    assert not (tmp_path / "m.json").exists()
