"""Folders that are whole or absent."""

import errno
import hashlib
import os
import re
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from clara.files import flush, usual_mode, writing
from clara.machine import runs

OLD = r"[0-9a-f]{8}\.old"
PART = r"([0-9a-f]{8})-(\d+)-[0-9a-f]{8}\.part"
"""What follows `.NAME.`: machine and process that write or delete the folder, and which of theirs it is."""
TAKEN = (errno.ENOTEMPTY, errno.EEXIST)


@contextmanager
def atomic_folder(path: Path, *, alone: bool = False) -> Iterator[Path]:
    """An empty temporary sibling folder that takes the place of the folder `path` when the block ends well.

    Systems do not exchange two folders in one move: the old one is moved aside, the new one to its place, and then the
    old one deleted. A kill between the two moves leaves the old one aside, where `put_back`, and so the next call,
    finds it. Of several processes that write the same folder at the same time, the last one's is kept, whole.

    Args:
        path: where a symbolic link stands, the folder that it names is written.
        alone: that no other machine writes `path`, so that what a kill left there, too, is deleted; what one left on
            this machine always is.

    Raises:
        ResourceError: as `atomic_path`.
    """
    path = _named(path)
    temporary = _sibling(path)
    with writing(path, temporary):
        if path.is_file():  # one look: between two another process may be moving a folder
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
        _clean(path, alone=alone)
        try:
            temporary.mkdir(parents=True)
            yield temporary
            for file in temporary.rglob("*"):
                if file.is_file():
                    if not file.is_symlink():
                        usual_mode(file)
                    flush(file)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        _put_in_place(temporary, path)


def put_back(path: Path) -> None:
    """Puts the folder `path` back where a kill left it aside; does nothing where it is there, or never was.

    A store may be named by its manifest as well.
    """
    path = _named(path.parent if path.name == "manifest.json" else path)
    if not path.exists():
        for aside in sorted(_siblings(path, OLD), key=_changed, reverse=True):
            with suppress(OSError):  # as where another process was faster
                aside.rename(path)
                return


def _put_in_place(temporary: Path, path: Path) -> None:
    there, asides = path.exists(), []
    while True:
        aside = path.with_name(f".{path.name}.{os.urandom(4).hex()}.old")
        try:
            with suppress(FileNotFoundError):
                path.rename(aside)
                asides.append(aside)
            temporary.rename(path)
            break
        except BaseException as error:
            put_back(path)
            if isinstance(error, OSError) and error.errno in TAKEN:  # another process's came between the two moves
                continue
            if path.exists() or not there:  # else this is all that is left
                shutil.rmtree(temporary, ignore_errors=True)
            raise
    for aside in asides:  # several where another process's came between
        _delete(path, aside)


def _delete(path: Path, aside: Path) -> None:
    """Deletes a folder that is of no use, under another name: half of one must not be put back.

    As far as it goes: a network disk keeps files that are open, and a later process deletes those.
    """
    doomed = _sibling(path)
    with suppress(OSError):
        aside.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)


def _clean(path: Path, *, alone: bool) -> None:
    """Puts back or deletes what kills left."""
    asides = list(_siblings(path, OLD))  # before the look at `path`: later ones may be another process's only copy
    put_back(path)
    if path.exists():
        for aside in asides:
            _delete(path, aside)
    for part in _siblings(path, PART):
        machine, process = re.findall(PART, part.name)[-1]
        if alone or (machine == _machine() and not runs(int(process))):
            shutil.rmtree(part, ignore_errors=True)


def _named(path: Path) -> Path:
    path = Path(path)
    return path.resolve() if path.is_symlink() else path


def _sibling(path: Path) -> Path:
    """A name of which other processes make no use."""
    return path.with_name(f".{path.name}.{_machine()}-{os.getpid()}-{os.urandom(4).hex()}.part")


def _siblings(path: Path, kind: str) -> Iterator[Path]:
    with suppress(OSError):  # no folder above, or one that may not be listed
        for place in path.parent.iterdir():
            if re.fullmatch(rf"\.{re.escape(path.name)}\.{kind}", place.name):
                yield place


def _changed(path: Path) -> int:
    with suppress(OSError):
        return path.stat().st_ctime_ns
    return 0


def _machine() -> str:
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]
