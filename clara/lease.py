"""A folder that one program at a time may work in, also when the programs run on different nodes.

A workflow that dies leaves its cluster job running; started again it would submit a second one, and both would write
the same training state. The lease is a file that its holder touches again and again; an untouched one is void. Of
several processes exactly one makes the file, and exactly one takes a void one over: both are files made by O_EXCL,
which network disks keep to as well, where many do without locks.
"""

import hashlib
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from clara.errors import ResourceError
from clara.files import atomic_path
from clara.machine import runs

FILE = "lease.json"
BEAT_SECONDS = 5.0
VOID_AFTER_SECONDS = 30.0
"""A holder on another node that has not touched its lease for so long is taken for dead."""
EXIT_LOST = 2


class Seen(NamedTuple):
    """A lease at a moment."""

    touched: int
    """By the file system's clock: compared only with itself, as clocks of nodes may differ."""
    content: bytes


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """The folder, made if need be, kept for this process while the block runs.

    A holder that is known to have died is followed at once, one on another node when its lease stays untouched. A
    holder that stood still for so long that it was followed ends with a sentence as soon as it runs again.

    Raises:
        ResourceError: another process works there; names it and its cluster job.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    holder = {"host": socket.gethostname(), "process": os.getpid(), "job": os.environ.get("SLURM_JOB_ID")}
    mine = json.dumps({**holder, "token": os.urandom(8).hex()}).encode()
    _take(path, mine)
    over = threading.Event()
    beating = threading.Thread(target=_beat, args=(path, mine, over), daemon=True)
    beating.start()
    try:
        yield
    finally:
        over.set()
        beating.join()
        with suppress(OSError), _deciding(path, mine):  # the state was deleted meanwhile, or its disk is away
            if path.read_bytes() == mine:
                path.unlink()


def _take(path: Path, mine: bytes) -> None:
    while not _made(path, mine):
        void = _once_void(path)
        if void is None:
            continue
        with _deciding(path, void.content):
            if _seen(path) == void:
                with atomic_path(path) as temporary:
                    temporary.write_bytes(mine)
                return


def _made(path: Path, content: bytes) -> bool:
    """Whether this process made the file: it was not there."""
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    except FileExistsError:
        return False
    try:
        with open(handle, "wb") as file:
            file.write(content)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return True


@contextmanager
def _deciding(path: Path, content: bytes) -> Iterator[None]:
    """A block that finds the lease of this content for one process alone, of those that would end it.

    These are its holder and those that follow it: without this the second of two followers could take the lease of the
    first for the one that was void. A claim whose process died within the moment that the block takes is not deleted,
    which two could do one after the other, but a next one made; all are of no use once the lease is another.
    """
    name = f".{FILE}.{hashlib.sha256(content).hexdigest()[:16]}"
    claims = [path.with_name(f"{name}.0")]
    started = time.monotonic()
    while not _made(claims[-1], b"") and (seen := _seen(path)) is not None and seen.content == content:
        if time.monotonic() - started > VOID_AFTER_SECONDS:
            claims.append(path.with_name(f"{name}.{len(claims)}"))
            started = time.monotonic()
        else:
            time.sleep(0.02)
    try:
        yield
    finally:
        for claim in claims:
            claim.unlink(missing_ok=True)


def _beat(path: Path, mine: bytes, over: threading.Event) -> None:
    while not over.wait(BEAT_SECONDS):
        with suppress(OSError):  # the disk is away for a moment, or the folder was deleted, which a save makes again
            seen = _seen(path)
            if seen is None:
                _made(path, mine)
            elif seen.content == mine:
                os.utime(path)
            else:
                _end(path)


def _end(path: Path) -> None:
    """Ends this process from its second thread: an exception in the first would come after what it is computing."""
    try:
        print(
            f"error: {path.parent} was taken over by {_told(path)} while this process stood still for more than "
            f"{VOID_AFTER_SECONDS:g} s; wait for that one, or end it and run again",
            file=sys.stderr,
            flush=True,
        )
    finally:
        os._exit(EXIT_LOST)


def _once_void(path: Path) -> Seen | None:
    """The lease that nobody keeps any longer, once that is known; None where it is gone."""
    started, first = time.monotonic(), _seen(path)
    while (now := _seen(path)) is not None:
        if _has_died(now.content):
            return now
        if now != first:
            raise ResourceError(f"{path.parent} is in use by {_told(path)}; wait for it or end it, then run again")
        if time.monotonic() - started > VOID_AFTER_SECONDS:
            return now
        time.sleep(0.2)
    return None


def _seen(path: Path) -> Seen | None:
    try:
        with path.open("rb") as file:  # a network disk looks anew when a file is opened
            return Seen(os.fstat(file.fileno()).st_mtime_ns, file.read())
    except FileNotFoundError:
        return None


def _told(path: Path) -> str:
    seen = _seen(path)
    holder = _holder(seen.content) if seen else {}
    job = f", SLURM job {holder['job']}: scancel {holder['job']}" if holder.get("job") else ""
    return f"process {holder['process']} on {holder.get('host')}{job}" if "process" in holder else "another process"


def _holder(content: bytes) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except ValueError:  # cut short by a crash
        return {}
    return value if isinstance(value, dict) else {}


def _has_died(content: bytes) -> bool:
    """Whether the holder was a process of this machine that no longer runs, or this very process."""
    holder = _holder(content)
    process = holder.get("process")
    if holder.get("host") != socket.gethostname() or not isinstance(process, int):
        return False
    return process == os.getpid() or not runs(process)
