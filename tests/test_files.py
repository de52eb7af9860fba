import errno
import hashlib
from pathlib import Path

import pytest

from clara.errors import DataError, ResourceError
from clara.files import atomic_path, read_json, sha256_file, text_id, write_json, write_text


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


def test_json_comes_back_as_it_was(tmp_path: Path) -> None:
    value = {"b": [1, 2.5, None], "a": "é"}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == value
    assert (tmp_path / "a.json").read_text().startswith('{\n  "b"')


@pytest.mark.parametrize("content", [b"{", b"\xff"])
def test_what_is_no_json_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(DataError, match="is not valid JSON"):
        read_json(tmp_path / "a.json")


def test_hashes_are_sha256_of_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc" * 1_000_000)
    assert sha256_file(tmp_path / "a") == hashlib.sha256(b"abc" * 1_000_000).hexdigest()
    assert text_id("é") == hashlib.sha256("é".encode()).hexdigest()[:16]
