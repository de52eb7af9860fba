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


def test_scores_are_written_and_shown(tmp_path: Path) -> None:
    assert score(tmp_path, SETTINGS, PREDICTION).returncode == 0
    use = tmp_path / "joint/instruction-cr4-base/memory_use.json"
    use.parent.mkdir(parents=True)
    interval = {"mean": 1.0, "low": 0.5, "high": 1.5}
    losses = dict.fromkeys(("right", "wrong", "none", "text"), interval)
    use.write_text(json.dumps({"n": 8, "confidence": 0.95, "losses": losses, "wrong_minus_right": interval}))
    shown = call(
        "show_results.py", "--metrics", tmp_path / "m.json", "--memory-use", use, "--page", tmp_path / "index.html"
    )
    assert shown.returncode == 0
    assert "BM25    100.0 [100.0, 100.0]  100.0 [100.0, 100.0]" in shown.stdout
    assert "joint CR 4, from instruction   yes  1.000 [0.500, 1.500]" in shown.stdout


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
