"""History of a resumable step's attempts: when each began and ended, why, and what work was lost; and each one's log.

It lies in `attempts/` in the step's state folder: `history.jsonl` with two rows an attempt, `NNN.log` with what the
attempt said. An attempt without an end was killed; what SLURM knows of its job then says more.
"""

import json
import os
import re
import socket
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from clara import slurm
from clara.files import append_lines

FOLDER = "attempts"
STEP = re.compile(r"\bstep (\d+)/\d+")


class Attempt(NamedTuple):
    """One attempt as it is told."""

    number: int
    started: float
    """Seconds since 1970."""
    seconds: float | None
    """How long it ran; null while it runs, or where nobody noted its end."""
    reason: str
    """running, finished, failed: …, interrupted, terminated, killed, or SLURM's word, such as TIMEOUT."""
    lost_steps: int | None
    """Steps after the last saved state, done again by the next attempt; null where it did not count steps."""
    host: str
    job: str | None
    """SLURM's number."""


class Note:
    """Of the attempt at work; `reason` is what its end will be noted with."""

    def __init__(self) -> None:
        self.reason = "failed"


class _Both:
    """A stream that writes to two."""

    def __init__(self, first: TextIO, second: TextIO) -> None:
        self.first, self.second = first, second

    def write(self, text: str) -> int:
        with suppress(OSError, ValueError):  # a full disk must not end the work for the sake of its log
            self.second.write(text)
            self.second.flush()
        return self.first.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.first, name)


@contextmanager
def noted(arguments: Sequence[str]) -> Iterator[Note | None]:
    """Notes begin and end of an attempt while the block runs, and keeps a copy of what it writes to stderr.

    Args:
        arguments: the program's command line; nothing is noted without --state, and by all but the first process of a
            launch.
    """
    words = list(arguments)
    if "--state" not in words[:-1] or os.environ.get("RANK", "0") != "0":
        yield None
        return
    state = Path(words[words.index("--state") + 1])
    note = Note()
    try:
        (state / FOLDER).mkdir(parents=True, exist_ok=True)
        number = _begin(state)
        log = (state / FOLDER / f"{number:03d}.log").open("w", encoding="utf-8")
    except OSError:  # the program will say what is wrong with the folder
        yield note
        return
    own = sys.stderr
    sys.stderr = _Both(own, log)
    try:
        yield note
    except SystemExit as end:
        note.reason = "terminated" if end.code == 143 else "failed"
        raise
    except BaseException as error:
        full = isinstance(error, MemoryError) or "OutOfMemory" in type(error).__name__
        note.reason = f"{'out of memory' if full else 'failed'}: {type(error).__name__}: {error}"
        with suppress(OSError):
            traceback.print_exc(file=log)
        raise
    finally:
        sys.stderr = own
        with suppress(OSError):
            log.close()
            _append(state, {"attempt": number, "ended": time.time(), "reason": note.reason, "saved": _saved(state)})


def history(state: Path) -> list[Attempt]:
    """All attempts in a state folder, oldest first."""
    path = state / FOLDER / "history.jsonl"
    if not path.is_file():
        return []
    starts: dict[int, dict[str, Any]] = {}
    ends: dict[int, dict[str, Any]] = {}
    for line in path.read_bytes().split(b"\n"):
        with suppress(ValueError):  # the last line of a crash may be cut short
            row = json.loads(line)
            (ends if "ended" in row else starts)[row["attempt"]] = row
    return [_told(state, start, ends.get(number)) for number, start in sorted(starts.items())]


def earlier(arguments: Sequence[str]) -> list[Attempt]:
    """The attempts at this result that ended before the present one: those after the last that finished.

    Args:
        arguments: the program's command line; without --state there are none.
    """
    words = list(arguments)
    if "--state" not in words[:-1]:
        return []
    ended = [one for one in history(Path(words[words.index("--state") + 1])) if one.reason != "running"]
    finished = max((place for place, one in enumerate(ended) if one.reason == "finished"), default=-1)
    return ended[finished + 1 :]


def _begin(state: Path) -> int:
    """Notes the start of a new attempt, and the end of one that could not; its number."""
    before = history(state)
    if before and before[-1].seconds is None:
        last = before[-1]
        job = os.environ.get("SLURM_JOB_ID")
        reason = "PREEMPTED" if job and job == last.job else _reason(last.job, "killed")
        log = state / FOLDER / f"{last.number:03d}.log"
        ended = log.stat().st_mtime if log.is_file() else last.started
        _append(state, {"attempt": last.number, "ended": ended, "reason": reason, "saved": _saved(state)})
    number = before[-1].number + 1 if before else 1
    mine = {"host": socket.gethostname(), "process": os.getpid(), "job": os.environ.get("SLURM_JOB_ID")}
    _append(state, {"attempt": number, "started": time.time(), **mine})
    return number


def _append(state: Path, row: dict[str, Any]) -> None:
    append_lines(state / FOLDER / "history.jsonl", [json.dumps(row)])


def _told(state: Path, start: dict[str, Any], end: dict[str, Any] | None) -> Attempt:
    number, job = int(start["attempt"]), start.get("job")
    known = (number, float(start["started"]))
    if end is None:
        alive = start["host"] != socket.gethostname() or Path(f"/proc/{start['process']}").exists()
        reason = "running" if alive else "killed"
        return Attempt(*known, None, _reason(job, reason), None, start["host"], job)
    reason = str(end["reason"])
    if reason == "terminated":
        reason = _reason(job, reason)
    seconds = float(end["ended"]) - float(start["started"])
    return Attempt(*known, seconds, reason, _lost(state, number, end), start["host"], job)


def _lost(state: Path, number: int, end: dict[str, Any]) -> int | None:
    """Steps that the attempt's log tells of and that its last saved state does not have."""
    log = state / FOLDER / f"{number:03d}.log"
    steps = STEP.findall(log.read_text(encoding="utf-8", errors="replace")) if log.is_file() else []
    if not steps or end["reason"] == "finished":
        return 0 if end["reason"] == "finished" else None
    return max(0, int(steps[-1]) - int(end.get("saved") or 0))


def _saved(state: Path) -> int:
    """Step of the newest saved state."""
    return max((int(path.name[5:]) for path in state.glob("step-*") if path.name[5:].isdigit()), default=0)


def _reason(job: str | None, otherwise: str) -> str:
    """SLURM's word for the end of a job, such as TIMEOUT or OUT_OF_MEMORY, where it has one that says more."""
    state = slurm.state_of(job) if job else None
    return state if state and state not in ("RUNNING", "PENDING", "COMPLETING", "COMPLETED") else otherwise
