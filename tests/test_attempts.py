"""History of attempts: ends noted, kills told later, lost steps counted, SLURM's word for the end of a job."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from clara import attempts
from clara.attempts import history, noted


def attempt(state: Path, *lines: str, error: BaseException | None = None) -> None:
    with noted(["pretrain.py", "--state", str(state)]) as note:
        for line in lines:
            print(line, file=sys.stderr)
        if error:
            raise error
        assert note
        note.reason = "finished"


def test_an_attempt_leaves_its_reason_its_time_and_its_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    attempt(tmp_path, "step 1/4 train: loss 2")
    (one,) = history(tmp_path)
    assert (one.number, one.reason, one.lost_steps, one.job) == (1, "finished", 0, None)
    assert one.seconds is not None
    assert 0 <= one.seconds < 10
    assert (tmp_path / "attempts" / "001.log").read_text() == "step 1/4 train: loss 2\n"
    assert capsys.readouterr().err == "step 1/4 train: loss 2\n"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (SystemExit(143), "terminated"),
        (MemoryError("no more"), "out of memory: MemoryError: no more"),
        (ValueError("odd"), "failed: ValueError: odd"),
        (type("OutOfMemoryError", (RuntimeError,), {})("CUDA"), "out of memory: OutOfMemoryError: CUDA"),
    ],
)
def test_an_end_by_an_error_is_told(error: BaseException, reason: str, tmp_path: Path) -> None:
    with pytest.raises(type(error)):
        attempt(tmp_path, error=error)
    assert [one.reason for one in history(tmp_path)] == [reason]


def test_a_killed_attempt_is_told_by_the_next_with_the_steps_that_were_lost(tmp_path: Path) -> None:
    kept = noted(["pretrain.py", "--state", str(tmp_path)])
    before = sys.stderr
    kept.__enter__()
    for step in (1, 2, 3, 4, 5):
        print(f"pretraining cr4-base: step {step}/9 train: loss 1", file=sys.stderr)
    sys.stderr = before  # as after SIGKILL: nothing was noted
    (tmp_path / "step-000003").mkdir()
    (still,) = history(tmp_path)
    assert still.reason == "running"
    attempt(tmp_path)
    first, second = history(tmp_path)
    assert (first.reason, first.lost_steps) == ("killed", 2)
    assert second.reason == "finished"


def test_half_a_line_that_a_crash_left_takes_no_other_with_it(tmp_path: Path) -> None:
    attempt(tmp_path)
    with (tmp_path / "attempts" / "history.jsonl").open("ab") as file:
        file.write('{"attempt": 2, "host": "é'.encode()[:-1])
    attempt(tmp_path)
    assert [(one.number, one.reason) for one in history(tmp_path)] == [(1, "finished"), (2, "finished")]


def test_earlier_attempts_are_those_since_the_last_that_finished(tmp_path: Path) -> None:
    words = ["pretrain.py", "--state", str(tmp_path)]
    assert attempts.earlier(words) == attempts.earlier(["score.py"]) == []
    attempt(tmp_path)
    for _ in range(2):
        with pytest.raises(ValueError, match="odd"):
            attempt(tmp_path, "step 3/9 train: loss 1", error=ValueError("odd"))
    with noted(words):
        found = attempts.earlier(words)
    assert [(one.number, one.reason, one.lost_steps) for one in found] == [
        (2, "failed: ValueError: odd", 3), (3, "failed: ValueError: odd", 3),
    ]  # fmt: skip


def commands(folder: Path, monkeypatch: pytest.MonkeyPatch, **scripts: str) -> None:
    for name, text in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin")


@pytest.mark.parametrize("word", ["TIMEOUT", "OUT_OF_MEMORY", "PREEMPTED", "CANCELLED"])
def test_slurm_says_why_a_job_ended(word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands(tmp_path, monkeypatch, squeue="exit 1", sacct=f"echo {word}")
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    with pytest.raises(SystemExit):
        attempt(tmp_path / "state", error=SystemExit(143))
    (one,) = history(tmp_path / "state")
    assert (one.reason, one.job) == (word, "12")


def test_the_same_job_that_begins_again_was_preempted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "attempts").mkdir()
    row = {"attempt": 1, "started": 1.0, "host": "elsewhere", "process": 1, "job": "12"}
    (tmp_path / "attempts" / "history.jsonl").write_text(json.dumps(row) + "\n" + '{"cut short')
    (tmp_path / "attempts" / "history.jsonl").write_text(json.dumps(row) + "\n")
    attempt(tmp_path)
    assert [one.reason for one in history(tmp_path)] == ["PREEMPTED", "finished"]


def test_only_the_first_process_of_a_launch_and_only_with_a_state_notes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with noted(["score.py"]) as note:
        assert note is None
    monkeypatch.setenv("RANK", "1")
    with noted(["pretrain.py", "--state", str(tmp_path)]) as note:
        assert note is None
    assert attempts.history(tmp_path) == []


PROGRAM = """
import signal, sys, time
from clara import program
from clara.errors import DataError

def main():
    print("step 3/9 train: loss 1", file=sys.stderr)
    if "--fail" in sys.argv:
        raise DataError("the rows are empty; fill them")
    print("ready", flush=True)
    time.sleep(30)

program.run(main, resumable=True)
"""


def test_a_program_that_fails_is_ended_or_is_killed_leaves_that_in_its_history(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, "--state", str(tmp_path)]
    variables = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    failed = subprocess.run([*command, "--fail"], env=variables, capture_output=True, text=True, check=False)
    assert (failed.returncode, failed.stderr.splitlines()[-1]) == (2, "error: the rows are empty; fill them")
    for number in (signal.SIGTERM, signal.SIGKILL):
        process = subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(number)
        process.communicate(timeout=20)
        assert process.returncode == (143 if number is signal.SIGTERM else -signal.SIGKILL)
    assert [one.reason for one in history(tmp_path)] == [
        "failed: the rows are empty; fill them", "terminated", "killed",
    ]  # fmt: skip
    assert [one.lost_steps for one in history(tmp_path)] == [3, 3, None]
    assert "error: the rows are empty" in (tmp_path / "attempts" / "001.log").read_text()
