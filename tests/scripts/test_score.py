"""The programs that score and show, run as a user runs them."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPTS = Path(__file__).parents[2] / "workflow_scripts"
SETTINGS = {"seed": 1, "scoring": {"recall_at": [1], "bootstrap_samples": 100, "confidence": 0.95}}
PREDICTION = {
    "system": "bm25",
    "benchmark": "nq",
    "setting": "oracle",
    "id": "1",
    "question": "Where?",
    "golden_answers": ["Paris"],
    "prediction": None,
    "ranking": [0, 1],
    "scores": None,
    "selected": [],
    "pos_index": [0],
}


def call(program: str, *flags: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, SCRIPTS / program, *map(str, flags)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def score(folder: Path, settings: Any, row: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    predictions, metrics = folder / "p.jsonl", folder / "m.json"
    predictions.write_text(json.dumps(row) + "\n")
    return call("score.py", "--settings", json.dumps(settings), "--predictions", predictions, "--metrics", metrics)


def test_scores_are_written(tmp_path: Path) -> None:
    assert score(tmp_path, SETTINGS, PREDICTION).returncode == 0
    rows = json.loads((tmp_path / "m.json").read_text())["rows"]
    assert {(row["metric"], row["value"]) for row in rows} >= {("recall@1", 100.0)}


def test_what_is_shown_are_the_reports_own_tables_and_nothing_that_lies_about(tmp_path: Path) -> None:
    page, tables = tmp_path / "report" / "index.html", tmp_path / "report" / "tables"
    tables.mkdir(parents=True)
    (tmp_path / "evaluation" / "metrics").mkdir(parents=True)
    (tmp_path / "evaluation" / "metrics" / "instruction-cr64-base.json").write_text("of an earlier configuration")
    (tables / "results.csv").write_text(
        "system,benchmark,setting,metric,value,low,high,n,confidence\nbm25,2wiki,oracle,f1,50.0,40.0,60.0,8,0.95\n"
    )
    head = "stage,ratio,variant,init,quantity,mean,low,high,n,confidence\n"
    quantities = ("right", "wrong", "none", "text", "wrong_minus_right")
    rows = [f"joint,4,base,instruction,{quantity},1.0,0.5,1.5,8,0.95\n" for quantity in quantities]
    (tables / "memory_use.csv").write_text(head + "".join(rows))
    shown = call("show_results.py", "--page", page)
    assert shown.returncode == 0, shown.stderr
    assert "BM25    50.0 [40.0, 60.0]" in shown.stdout
    assert "joint CR 4, from instruction   yes  1.000 [0.500, 1.500]" in shown.stdout
    assert "CR 64" not in shown.stdout


@pytest.mark.parametrize(
    ("settings", "row", "message"),
    [
        (SETTINGS | {"extra": 1}, PREDICTION, "extra"),
        (SETTINGS, PREDICTION | {"ranking": None}, "neither answers nor ranks"),
        (SETTINGS, {"system": "bm25"}, "p.jsonl line 1 is no prediction row"),
    ],
)
def test_bad_settings_and_bad_predictions_end_in_one_sentence_and_status_2(
    settings: Any, row: dict[str, Any], message: str, tmp_path: Path
) -> None:
    done = score(tmp_path, settings, row)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert message in done.stderr
    assert not (tmp_path / "m.json").exists()
