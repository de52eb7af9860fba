"""How far a run is, from its logs, benchmarks and locks; and what it did, at its end."""

import fcntl
import os
import sys
from collections.abc import Callable
from pathlib import Path

from clara import attempts
from clara.runs import status, summary
from clara.runs.jobs import Job


def log(job: Job, text: str, *, age: float = 0) -> None:
    path = Path(job.log)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (10_000 - age, 10_000 - age))


def states(job: Job, *, working: bool) -> tuple[str, str, list[str]]:
    (stage,) = status.status([job], [job], working=working)
    (told,) = stage.jobs
    return told.state, told.progress, told.lines


def test_the_last_line_of_a_log_is_the_progress_of_a_job_at_work(make_job: Callable[..., Job]) -> None:
    job = make_job()
    assert states(job, working=True)[0] == "waiting"
    log(job, "goes on after step 2\n\r\x1b[2Kjoint: step 3/6 train: loss 2.1, 4.0 s a step, 0.2 min left")
    assert states(job, working=True)[:2] == ("running", "joint: step 3/6 train: loss 2.1, 4.0 s a step, 0.2 min left")
    assert states(job, working=False)[0] == "stopped"


def test_a_failed_job_is_told_with_the_last_lines_of_its_log(make_job: Callable[..., Job]) -> None:
    job = make_job()
    log(job, "".join(f"line {number}\n" for number in range(9)) + "error: the disk is full\n")
    state, progress, lines = states(job, working=True)
    assert (state, progress) == ("failed", "error: the disk is full")
    assert lines == ["line 5", "line 6", "line 7", "line 8", "error: the disk is full"]


def test_the_log_of_an_earlier_run_that_ended_well_is_no_work_at_present(make_job: Callable[..., Job]) -> None:
    job = make_job()
    log(job, "done", age=10)
    Path(job.benchmark).parent.mkdir(parents=True)
    Path(job.benchmark).write_text('{"s": 1}\n')
    assert states(job, working=True)[0] == "waiting"


def test_the_text_counts_by_rule_and_in_all(make_job: Callable[..., Job]) -> None:
    jobs = [make_job(4), make_job(16)]
    log(jobs[1], "error: no")
    text = status.text(status.status(jobs, jobs[1:], working=False), working=False)
    assert text.splitlines() == [
        "train_joint         1 done, 1 failed",
        "    train_joint instruction-cr16-base failed:",
        "        error: no",
        "1 done, 1 failed; no run is at work here",
    ]


def test_attempts_that_ended_early_are_summed_with_the_lost_steps(make_job: Callable[..., Job]) -> None:
    job = make_job(state="state/demo/train_joint")
    for reason, last in (("killed", 5), ("failed: the disk is full", 7), ("finished", 9)):
        with attempts.noted(["train_joint.py", "--state", job.state]) as note:
            print(f"step {last}/9 train", file=sys.stderr)
            assert note
            note.reason = reason
    said = status.text(status.status([job], [], working=False), working=False)
    assert "2 attempts ended early (1 killed, 1 failed) after 0 s in all; 12 training steps done again" in said
    assert "attempt 1" not in said  # the job is done


def test_a_run_at_work_is_known_by_the_lock_of_its_runner(tmp_path: Path) -> None:
    assert not status.at_work(tmp_path)
    (tmp_path / ".snakemake").mkdir()
    with (tmp_path / ".snakemake" / "clara.lock").open("w") as handle:
        assert not status.at_work(tmp_path)
        fcntl.flock(handle, fcntl.LOCK_EX)
        assert status.at_work(tmp_path)


def test_a_summary_tells_what_this_run_did(tmp_path: Path) -> None:
    for name, text, time in [
        ("pretrain/cr4-base", '{"s": 60, "max_rss": 2800.5}\n', 100),
        ("pretrain/cr16-base", '{"s": 30, "max_rss": 2400}\n', 101),
        ("score/bm25", '{"s": 2, "max_rss": "-"}\n', 102),
        ("old", '{"s": 1}\n', 50),
    ]:
        path = tmp_path / f"{name}.jsonl"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        os.utime(path, (time, time))
    found = summary.ran(tmp_path, since=99)
    assert [(one.rule, one.seconds, one.peak_mb) for one in found] == [
        ("pretrain", [60, 30], 2800.5),
        ("score", [2], 0),
    ]
    lines = summary.text(found, 75).splitlines()
    assert lines[0].split() == ["pretrain", "2", "x", "45", "s", "2,800", "MB", "at", "most"]
    assert lines[-1].startswith("3 jobs, 1 min 32 s of work in 1 min 15 s; Snakemake on ")
    assert summary.text([], 1) == ""
