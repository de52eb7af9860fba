"""The language model of a checkpoint that is passed on without it: made from its source on first use, and kept."""

import fcntl
import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from clara.folders import atomic_folder
from clara.model import backbone_folder
from clara.packages import PACKAGE, package_file

CACHE = "CLARA_CACHE"
"""Environment variable that names the folder for what is made on first use; else `~/.cache/clara`."""


def prepared(source: str) -> Path:
    """The card of the backbone that `source` gives, made now where it is not there yet.

    Of processes that want it at the same time one makes it, and the others wait.

    Args:
        source: `package:DISTRIBUTION/FILE` or a Hub name.

    Raises:
        ResourceError: the package is not installed, or the Hub has no such model.
    """
    folder = cache() / "backbones" / hashlib.sha256(source.encode()).hexdigest()[:16]
    card = folder / "card.json"
    if card.exists():
        return card
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _one_at_a_time(folder.with_suffix(".lock")):
        if not card.exists():
            print(f"making the language model from {source}, once, in {folder}", file=sys.stderr)
            place = str(package_file(source.removeprefix(PACKAGE))) if source.startswith(PACKAGE) else source
            with atomic_folder(folder) as temporary:
                backbone_folder.prepare(place, temporary / "card.json", seed=0, revision=None, trust_remote_code=False)
    return card


@contextmanager
def _one_at_a_time(file: Path) -> Iterator[None]:
    """A block that other processes wait for; the lock ends with the process, however it ends.

    On a disk that knows no locks nobody waits: each makes its own, and one of them is kept.
    """
    handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        with suppress(OSError):
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print(f"waits for another process, which makes {file.stem}", file=sys.stderr)
                fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def cache() -> Path:
    """The folder for what is made on first use."""
    named = os.environ.get(CACHE)
    return Path(named).expanduser() if named else Path.home() / ".cache" / "clara"
