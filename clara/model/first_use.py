"""The language model of a checkpoint that is passed on without it: made from its source on first use, and kept."""

import fcntl
import hashlib
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from clara.errors import CheckpointError, DataError
from clara.folders import atomic_folder
from clara.model import backbone_folder
from clara.model.backbone_card import read_backbone_card, require_unharmed
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
    if card.exists() and not _harmed(source, card):
        return card
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _one_at_a_time(folder.with_suffix(".lock")):
        if not card.exists() or _harmed(source, card):
            again = ", again, since a file of it is not as it was made" if card.exists() else ""
            print(f"making the language model from {source}, once, in {folder}{again}", file=sys.stderr)
            shutil.rmtree(folder, ignore_errors=True)
            place = str(package_file(source.removeprefix(PACKAGE))) if source.startswith(PACKAGE) else source
            with atomic_folder(folder) as temporary:
                backbone_folder.prepare(place, temporary / "card.json", seed=0, revision=None, trust_remote_code=False)
    return card


def _harmed(source: str, card: Path) -> bool:
    """Whether a model that was made from a package is no longer as it was; one of the Hub lies in the Hub's own cache.

    A damaged one would give memories of the right compressor that say something else.
    """
    if not source.startswith(PACKAGE):
        return False
    try:
        require_unharmed(read_backbone_card(card))
    except (CheckpointError, DataError):  # its card is no card any more, or another process is making it again
        return True
    return False


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
