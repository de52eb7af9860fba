"""Folders that are whole or absent, whatever happens between two moves and whoever else writes them."""

import errno
import itertools
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from clara import folders
from clara.errors import ResourceError
from clara.folders import atomic_folder, put_back

KILLED_BETWEEN = """
import os, sys
from pathlib import Path
from clara.folders import atomic_folder
move, moves = Path.rename, []
def rename(self, target):
    moves.append(target)
    return os._exit(9) if len(moves) == 2 else move(self, target)
with atomic_folder(Path(sys.argv[1])) as folder:
    (folder / "a").write_text("new")
    Path.rename = rename
"""
"""Ends, as by SIGKILL, when the old folder is aside and the new one not yet in its place."""


def write(folder: Path, text: str, *, error: BaseException | None = None, alone: bool = False) -> None:
    with atomic_folder(folder, alone=alone) as temporary:
        (temporary / "a").write_text(text)
        if error is not None:
            raise error


def found(folder: Path) -> tuple[str, list[str]]:
    """What the folder says, and what lies beside it."""
    return (folder / "a").read_text(), sorted(path.name for path in folder.parent.iterdir() if path != folder)


def test_a_folder_is_whole_or_not_there(tmp_path: Path) -> None:
    write(tmp_path / "f", "old")
    write(tmp_path / "f", "new")
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "anywhere")
    with pytest.raises(ResourceError, match=r"cannot write .*f: No space left on device; free or unlock"):
        write(tmp_path / "f", "half", error=full)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "f", "half", error=KeyboardInterrupt())
    assert found(tmp_path / "f") == ("new", [])


def test_an_old_folder_that_cannot_be_deleted_does_not_keep_out_the_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on NFS, which keeps files that are open under names of its own."""
    folder = tmp_path / "f"
    write(folder, "old")
    (folder / ".nfs0001").write_text("")
    with monkeypatch.context() as patched:
        patched.setattr("shutil.rmtree", lambda path, ignore_errors=False: (Path(path) / "a").unlink(missing_ok=True))
        write(folder, "new")
    text, (left,) = found(folder)
    assert text == "new"
    monkeypatch.setattr(folders, "runs", lambda process: False)  # later, when the process has ended
    write(folder, "newer")
    assert found(folder) == ("newer", [])
    assert left.endswith(".part")


def failing(fails: Callable[[int], BaseException | None]) -> Callable[[Path, Path], Path]:
    """`Path.rename` that raises what `fails` gives for the number of the call."""
    rename, calls = Path.rename, itertools.count(1)

    def move(self: Path, target: Path) -> Path:
        if (error := fails(next(calls))) is not None:
            raise error
        return rename(self, target)

    return move


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.EBUSY, "Device or resource busy")])
def test_a_failure_between_the_two_moves_puts_the_old_folder_back(
    error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "f", "old")
    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", failing(lambda count: error if count == 2 else None))
        with pytest.raises(type(error)):
            write(tmp_path / "f", "new")
    assert found(tmp_path / "f") == ("old", [])


def test_where_the_old_folder_does_not_come_back_the_new_one_is_kept_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "f", "old")
    away = OSError(errno.EIO, "Input/output error")
    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", failing(lambda count: away if count > 1 else None))
        with pytest.raises(ResourceError, match="f: Input/output"):
            write(tmp_path / "f", "new")
    assert sorted((path.suffix, (path / "a").read_text()) for path in tmp_path.iterdir()) == [
        (".old", "old"),
        (".part", "new"),
    ]
    put_back(tmp_path / "f")
    assert (tmp_path / "f" / "a").read_text() == "old"


def fail_to_write(folder: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        write(folder, "half", error=ZeroDivisionError())


@pytest.mark.parametrize("then", [put_back, fail_to_write])
def test_a_kill_between_the_two_moves_loses_nothing(then: Callable[[Path], None], tmp_path: Path) -> None:
    write(tmp_path / "f", "old")
    environment = os.environ | {"PYTHONPATH": os.getcwd()}
    done = subprocess.run([sys.executable, "-c", KILLED_BETWEEN, str(tmp_path / "f")], env=environment, check=False)
    assert done.returncode == 9
    assert not (tmp_path / "f").exists()
    then(tmp_path / "f")
    text, beside = found(tmp_path / "f")
    assert text == "old"
    assert [Path(name).suffix for name in beside] == ([".part"] if then is put_back else [])


def test_a_second_writer_leaves_the_first_ones_files_alone(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "f") as first:
        (first / "a").write_text("first")
        write(tmp_path / "f", "second")
        (first / "b").write_text("first")
    assert (tmp_path / "f" / "b").exists()
    assert found(tmp_path / "f") == ("first", [])


def test_of_many_writers_at_once_one_is_kept_whole(tmp_path: Path) -> None:
    failed = []

    def often(name: str) -> None:
        try:
            for _ in range(25):
                with atomic_folder(tmp_path / "f") as temporary:
                    (temporary / "a").write_text(name)
                    (temporary / "b").write_text(name)
        except BaseException as error:
            failed.append(error)

    writers = [threading.Thread(target=often, args=(name,)) for name in "xyz"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert failed == []
    text, beside = found(tmp_path / "f")
    assert (tmp_path / "f" / "b").read_text() == text
    assert beside == []


def test_what_the_dead_left_is_deleted_and_of_the_living_nothing(tmp_path: Path) -> None:
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    here, dead, elsewhere = folders._machine(), int(gone.stdout), "0" * 8
    names = {name: f".f.{name}-01234567.part" for name in (f"{here}-{dead}", f"{here}-{os.getpid()}", f"{elsewhere}-1")}
    for name in names.values():
        (tmp_path / name).mkdir()
    (tmp_path / f".f.g.{here}-{dead}-01234567.part").mkdir()  # of a folder f.g
    (tmp_path / ".f.01234567.old").mkdir()  # of a kill when `f` was in place
    write(tmp_path / "f", "new")
    others = [f".f.g.{here}-{dead}-01234567.part"]
    assert found(tmp_path / "f") == ("new", sorted([names[f"{here}-{os.getpid()}"], names[f"{elsewhere}-1"], *others]))
    write(tmp_path / "f", "new", alone=True)
    assert found(tmp_path / "f") == ("new", others)


def test_a_link_to_a_folder_stays_one(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "f").symlink_to(tmp_path / "other" / "real")
    write(tmp_path / "f", "old")
    write(tmp_path / "f", "new")
    assert (tmp_path / "f").is_symlink()
    assert found(tmp_path / "other" / "real") == ("new", [])


def test_a_file_keeps_its_place(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("mine")
    with pytest.raises(ResourceError, match=r"cannot write .*f: Not a directory"):
        write(tmp_path / "f", "new")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]
