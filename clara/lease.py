"""A folder that one program at a time may work in, also when the programs run on different nodes.

A workflow that dies leaves its cluster job running; started again it would submit a second one, and both would write
the same training state. The lease is a file that its holder touches again and again; an untouched one is void.
"""

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from clara.errors import ResourceError

FILE = "lease.json"
BEAT_SECONDS = 5.0
VOID_AFTER_SECONDS = 30.0
"""A holder on another node that has not touched its lease for so long is taken for dead."""


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """The folder, made if need be, kept for this process while the block runs.

    A holder that is known to have died is followed at once, one on another node when its lease stays untouched.

    Raises:
        ResourceError: another process works there; names it and its cluster job.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    await_end_of_holder(path)
    mine = {"host": socket.gethostname(), "process": os.getpid(), "job": os.environ.get("SLURM_JOB_ID")}
    path.write_text(json.dumps(mine), encoding="utf-8")
    over = threading.Event()

    def beat() -> None:
        while not over.wait(BEAT_SECONDS):
            with suppress(FileNotFoundError):  # the state was deleted meanwhile
                os.utime(path)

    threading.Thread(target=beat, daemon=True).start()
    try:
        yield
    finally:
        over.set()
        path.unlink(missing_ok=True)


def await_end_of_holder(path: Path) -> None:
    """Returns when nobody holds the lease `path`.

    Times are compared as the file system gives them, and only with each other: clocks of nodes may differ.
    """
    started, first = time.monotonic(), _touched(path)
    while first is not None and not _has_died(holder := _read(path)):
        if _touched(path) != first:
            job = f", SLURM job {holder['job']}: scancel {holder['job']}" if holder.get("job") else ""
            raise ResourceError(
                f"{path.parent} is in use by process {holder.get('process')} on {holder.get('host')}{job}; "
                "wait for it or end it, then run again"
            )
        if time.monotonic() - started > VOID_AFTER_SECONDS:
            return
        time.sleep(0.2)


def _touched(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return None


def _read(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # just removed, or cut short by a crash
        return {}
    return value if isinstance(value, dict) else {}


def _has_died(holder: dict[str, Any]) -> bool:
    """Whether the holder was a process of this machine that no longer runs, or this very process."""
    process = holder.get("process")
    if holder.get("host") != socket.gethostname() or not isinstance(process, int):
        return False
    if process == os.getpid():
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
