import errno
import hashlib
import os
import stat
import zlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from clara.errors import DataError, ResourceError
from clara.files import (
    append_lines,
    atomic_path,
    parse_json,
    read_json,
    reading,
    sha256_file,
    text_id,
    write_json,
    write_text,
)
from clara.folders import atomic_folder


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    write_text(file, "old")

    def fail() -> None:
        with atomic_path(file) as temporary:
            temporary.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_a_write_makes_its_folder_and_replaces_whole(tmp_path: Path) -> None:
    file = tmp_path / "b" / "c.txt"
    write_text(file, "long old text")
    write_text(file, "nëw")
    assert file.read_bytes() == "nëw".encode()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES])
def test_a_full_or_locked_disk_is_a_matter_of_resources(code: int, tmp_path: Path) -> None:
    def fail() -> None:
        with atomic_path(tmp_path / "x"):
            raise OSError(code, "the reason")

    with pytest.raises(ResourceError, match=r"cannot write .*x: the reason; free or unlock the disk"):
        fail()


def test_a_library_that_may_not_write_is_a_matter_of_resources(tmp_path: Path) -> None:
    def fail() -> None:
        with atomic_path(tmp_path / "x"):
            raise RuntimeError("Error while serializing: I/O error: Permission denied (os error 13)")  # as safetensors

    with pytest.raises(ResourceError, match=r"cannot write .*x: Permission denied; free or unlock the disk"):
        fail()


@pytest.mark.parametrize("mask", [0o022, 0o002, 0o077])
def test_a_file_that_a_library_made_private_has_the_mode_of_all_others(mask: int, tmp_path: Path) -> None:
    before = os.umask(mask)
    try:
        write_text(tmp_path / "plain", "x")
        for make in (atomic_path, atomic_folder):
            with make(tmp_path / make.__name__) as temporary:
                file = temporary / "x" if temporary.is_dir() else temporary
                save_file({"x": torch.zeros(1)}, file)
        assert os.umask(mask) == mask
    finally:
        os.umask(before)
    (tmp_path / "private").touch(mode=0o600)
    with atomic_path(tmp_path / "linked") as temporary:
        temporary.hardlink_to(tmp_path / "private")
    modes = {name: stat.S_IMODE((tmp_path / name).stat().st_mode) for name in os.listdir(tmp_path)}
    modes["atomic_folder"] = stat.S_IMODE((tmp_path / "atomic_folder" / "x").stat().st_mode)
    made = 0o666 & ~mask
    private = {"private": 0o600, "linked": 0o600}
    assert modes == {"plain": made, "atomic_path": made, "atomic_folder": made} | private


def test_json_comes_back_as_it_was(tmp_path: Path) -> None:
    value = {"b": [1, 2.5, None], "a": "é"}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == value
    assert (tmp_path / "a.json").read_text().startswith('{\n  "b"')


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", r"is not valid JSON \(Expecting property name .* at column 2\); delete it and run the step"),
        (b'{"a":\n 01}', r"is not valid JSON \(.* at line 2 column 3\)"),
        (b"\xff", "is not UTF-8"),
        (b'["\\ud83d\\ude00", "\\ud800"]', "half of a surrogate pair"),
        (b'{"\\udc00": 1}', "half of a surrogate pair"),
        (b"1" * 5000, "Exceeds the limit"),
        (b"1e999", "the number 1e999 is too large"),
        (b"[NaN]", "NaN is no JSON number"),
        (b"[-Infinity]", "-Infinity is no JSON number"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_what_is_no_json_is_refused(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_json(tmp_path / "a.json")


def test_json_keeps_whole_pairs_and_backslashes_that_only_look_like_halves() -> None:
    assert parse_json(r'["\ud83d\ude00", "\\ud800", 1.5e300, 12]') == ["\U0001f600", r"\ud800", 1.5e300, 12]
    assert parse_json('"a\nb"', strict=False) == "a\nb"


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (PermissionError(errno.EACCES, "Permission denied"), ResourceError, "cannot read f: Permission denied"),
        (IsADirectoryError(errno.EISDIR, "Is a directory"), DataError, r"f is no file \(Is a directory\)"),
        (zlib.error("invalid code"), DataError, r"f is damaged or cut short \(invalid code\)"),
        (OSError(errno.EIO, "Input/output error"), DataError, "f is damaged or cut short"),
    ],
)
def test_what_reading_meets_is_said_in_a_sentence(error: Exception, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message), reading(Path("f")):
        raise error


def test_an_input_that_cannot_be_read_is_not_called_an_output(tmp_path: Path) -> None:
    def fail() -> None:
        with atomic_path(tmp_path / "x"):
            raise PermissionError(errno.EACCES, "Permission denied", "elsewhere/input")

    with pytest.raises(PermissionError, match="elsewhere/input"):
        fail()


@pytest.mark.parametrize("before", ["", "whole\n", "whole\nhal"])
def test_a_line_that_is_appended_joins_no_half_one(before: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_text(before)
    append_lines(tmp_path / "a", ["é", "next"])
    assert (tmp_path / "a").read_text().splitlines() == [*before.splitlines(), "é", "next"]


def test_a_file_where_a_folder_should_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    with pytest.raises(ResourceError, match=r"cannot write .*a/b: "):
        write_text(tmp_path / "a" / "b", "x")


def test_hashes_are_sha256_of_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc" * 1_000_000)
    assert sha256_file(tmp_path / "a") == hashlib.sha256(b"abc" * 1_000_000).hexdigest()
    assert text_id("é") == hashlib.sha256("é".encode()).hexdigest()[:16]
