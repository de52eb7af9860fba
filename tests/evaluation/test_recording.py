"""The record of a run: which files it keeps, its curves, and what it says of time and machine."""

import json
from pathlib import Path
from typing import Any

import pytest

from clara.errors import DataError
from clara.evaluation.recording import describe, record_run


def environment(finished: str, seconds: float, **changes: Any) -> dict[str, Any]:
    values = {"finished": finished, "wall_seconds": seconds, "commit": "abc", "processor": "Z80", "device": "cpu"}
    return {**values, "seed": 7, "peak_memory_mib": 100, **changes}


def test_times_span_the_steps_and_memory_is_the_largest() -> None:
    text = describe(
        [
            environment("2026-01-02T03:00:00Z", 60.0),
            environment("2026-01-02T05:01:01Z", 30.0, peak_memory_mib=2048, commit="abd", seed=None),
        ],
        command="make it",
    )
    rows = dict(line.strip("| ").split(" | ") for line in text.splitlines()[2:])
    assert rows["Date"] == "2026-01-02 02:59 to 2026-01-02 05:01 UTC"
    assert rows["Duration"] == "2:02:01 from first to last step"
    assert rows["Sum of the steps' times"] == "0:01:30"
    assert (rows["Largest memory of a step"], rows["Commit"], rows["Seed"]) == ("2,048 MiB", "abc, abd", "7")
    assert (rows["Command"], rows["Machine"]) == ("`make it`", "Z80, cpu")


def test_a_record_holds_tables_figures_and_every_logged_loss(tmp_path: Path) -> None:
    run, target = tmp_path / "results" / "x", tmp_path / "record"
    for name in (
        "report/tables/results.md",
        "report/tables/results.tex",
        "report/figures/loss.svg",
        "figures/by_k.svg",
    ):
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text(name)
    with pytest.raises(DataError, match=r"has no report/index.html, so it is not finished"):
        record_run(run, target, command="c")
    (run / "report/index.html").write_text("page")
    checkpoint = run / "joint" / "instruction-cr4-base"
    checkpoint.mkdir(parents=True)
    points = [{"step": 0, "split": "validation", "loss": 2.5}, {"step": 1, "split": "train", "loss": 2.25}]
    (checkpoint / "history.jsonl").write_text("".join(f"{json.dumps(point)}\n" for point in points))
    (checkpoint / "environment.json").write_text(json.dumps(environment("2026-01-02T03:00:00Z", 1.0)))
    assert record_run(run, target, command="c") == ["results.md", "loss.svg", "by_k.svg", "curves.csv", "run.md"]
    assert (target / "results.md").read_text() == "report/tables/results.md"
    assert (target / "curves.csv").read_text().splitlines() == [
        "stage,checkpoint,split,step,loss",
        "joint,instruction-cr4-base,validation,0,2.5",
        "joint,instruction-cr4-base,train,1,2.25",
    ]
    assert not (target / "index.html").exists()
