"""`clara calibrate`, and `clara ask` with what it wrote."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from clara.cli import app
from clara.files import read_json, write_json
from clara.model.answers import UNKNOWN
from clara.records import Question
from clara.row_files import write_rows


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [*map(str, words)])


@pytest.fixture
def calibration(workplace: Path) -> dict[str, Any]:
    questions = "results/demo/candidates/nq.test.oracle.jsonl"
    done = run("calibrate", questions, "--output", "calibration.json", "--json")
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_below_the_threshold_the_answer_is_that_it_does_not_know(calibration: dict[str, Any]) -> None:
    assert calibration == read_json(Path("calibration.json"))
    assert calibration["fitted"] + calibration["held_out"] == 24
    for threshold, known in ((0.0, True), (1.0, False)):
        write_json(Path("calibration.json"), {**calibration, "threshold": threshold})
        found = json.loads(run("ask", "Who left?", "--calibration", "calibration.json", "--json").stdout)
        assert found["known"] is known
        assert found["answer"].startswith("I do not know") is not known
        assert 0 < found["probability"] < 1


def test_chat_and_serve_take_it_too(calibration: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    write_json(Path("calibration.json"), {**calibration, "threshold": 1.0})
    done = CliRunner().invoke(app, ["chat", "--calibration", "calibration.json"], input="Who left?\n")
    assert done.stdout == f"{UNKNOWN}\n"
    served = list[Any]()
    monkeypatch.setattr("uvicorn.run", lambda app, **options: None)
    monkeypatch.setattr("clara.server.app.create_app", lambda system, *args, **options: served.append(system))
    assert run("serve", "--calibration", "calibration.json").exit_code == 0
    assert served[0].model.calibration.threshold == 1


def test_what_does_not_fit_is_refused(calibration: dict[str, Any]) -> None:
    write_json(Path("other.json"), {**calibration, "compressor_hash": "0"})
    assert "made with another checkpoint" in run("ask", "Who?", "--calibration", "other.json").stderr
    write_rows(
        Path("far.jsonl"), [Question(id="1", question="Who?", golden_answers=["x"], docs=["far"], pos_index=[0])]
    )
    done = run("calibrate", "far.jsonl", "--output", "new.json")
    assert done.exit_code == 2
    assert "lacks gold documents of 'Who?'" in done.stderr
