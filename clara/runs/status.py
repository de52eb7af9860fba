"""How far a run is, working or stopped: `clara status`."""

import fcntl
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from clara.attempts import Attempt, history
from clara.progress import duration
from clara.runs.jobs import Job

State = Literal["running", "failed", "stopped", "waiting", "done"]
ERROR = re.compile(r"^(error: |\w*(Error|Exception)\b)")
LAST_LINES = 5


class Told(NamedTuple):
    """One job that is not done."""

    rule: str
    name: str
    state: State
    progress: str
    """The last line of its log, with rate and remaining time where the program says them."""
    lines: list[str]
    """The last lines of a failed job's log."""
    attempts: list[Attempt]


class Stage(NamedTuple):
    """Jobs of one rule."""

    rule: str
    counts: dict[str, int]
    """State → number of jobs."""
    jobs: list[Told]
    early: list[Attempt]
    """Attempts of all its jobs that ended before they had finished."""


def status(every: Sequence[Job], to_run: Sequence[Job], *, working: bool) -> list[Stage]:
    """The state of every job by rule.

    Args:
        every: all jobs of the run.
        to_run: those whose results are not there or not up to date.
        working: whether a Snakemake is at work in the folder.
    """
    open_ = {job.outputs[0]: job for job in to_run}
    stages: dict[str, Stage] = {}
    for job in every:
        told = _told(job, working) if job.outputs[0] in open_ else Told(job.rule, job.name, "done", "", [], [])
        stage = stages.setdefault(job.rule, Stage(job.rule, {}, [], []))
        past = history(Path(job.state)) if job.state else []
        stage.early.extend(one for one in past if one.reason not in ("finished", "running"))
        stage.counts[told.state] = stage.counts.get(told.state, 0) + 1
        if told.state != "done":
            stage.jobs.append(told)
    return list(stages.values())


def at_work(folder: Path) -> bool:
    """Whether a run holds the folder: the lock that `run_pipeline.py` keeps as long as Snakemake works."""
    path = folder / ".snakemake" / "clara.lock"
    if not path.is_file():
        return False
    with path.open("rb") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def text(stages: Sequence[Stage], *, working: bool) -> str:
    """What people read."""
    total: Counter[str] = Counter()
    lines = []
    for stage in stages:
        total.update(stage.counts)
        lines.append(f"{stage.rule:<20}{', '.join(f'{count} {state}' for state, count in stage.counts.items())}")
        for job in stage.jobs:
            if job.state == "failed":
                lines.append(f"    {job.name} failed:")
                lines += [f"        {line}" for line in job.lines]
            elif job.state != "waiting":
                lines.append(f"    {job.name} {job.state}: {job.progress or 'no message yet'}")
            lines += [f"        {_attempt(attempt)}" for attempt in job.attempts if attempt.reason != "finished"]
    if early := [one for stage in stages for one in stage.early]:
        lost = sum(one.lost_steps or 0 for one in early)
        reasons = Counter(one.reason.partition(":")[0] for one in early)
        why = ", ".join(f"{count} {reason}" for reason, count in reasons.items())
        lines.append(
            f"{len(early)} attempts ended early ({why}) "
            f"after {duration(sum(one.seconds or 0 for one in early))} in all; {lost} training steps done again"
        )
    counts = ", ".join(f"{count} {state}" for state, count in total.items())
    return "\n".join([*lines, f"{counts}; {'a run is at work here' if working else 'no run is at work here'}"])


def _attempt(attempt: Attempt) -> str:
    took = f" after {duration(attempt.seconds)}" if attempt.seconds is not None else ""
    lost = f", {attempt.lost_steps} steps to be done again" if attempt.lost_steps else ""
    job = f", SLURM job {attempt.job}" if attempt.job else ""
    return f"attempt {attempt.number} on {attempt.host}: {attempt.reason}{took}{lost}{job}"


def _told(job: Job, working: bool) -> Told:
    log, benchmark = Path(job.log), Path(job.benchmark)
    attempts = history(Path(job.state)) if job.state else []
    # A log no newer than the benchmark is of a job that ended well, before something that it stands on changed.
    over = benchmark.is_file() and log.is_file() and benchmark.stat().st_mtime >= log.stat().st_mtime
    if not log.is_file() or over:
        return Told(job.rule, job.name, "waiting", "", [], attempts)
    said = log.read_text(encoding="utf-8", errors="replace").replace("\r", "\n").splitlines()
    lines = [line.replace("\x1b[2K", "").strip() for line in said if line.strip()]
    if not lines and not working:
        return Told(job.rule, job.name, "waiting", "", [], attempts)
    last = lines[-1] if lines else ""
    if ERROR.match(last):
        return Told(job.rule, job.name, "failed", last, lines[-LAST_LINES:], attempts)
    return Told(job.rule, job.name, "running" if working else "stopped", last, [], attempts)
