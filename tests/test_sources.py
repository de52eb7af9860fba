"""Parts of source files are kept between processes, and what is kept is never taken for another file's."""

import json
import os
from pathlib import Path

import pytest

from clara import sources
from clara.fingerprint import Project
from tests.test_fingerprint import fingerprint, folder

__all__ = ["folder"]


def kept(folder: Path) -> Path:
    """The folder with the parts kept, as at the end of a process."""
    project = Project(folder)
    project.fingerprint(folder / "run.py")
    project.sources.keep()
    return project.sources.file


def forbid_parsing(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files parsed from now on."""
    parsed: list[str] = []
    parse = sources.ast.parse
    monkeypatch.setattr(sources.ast, "parse", lambda text, name: parsed.append(Path(name).name) or parse(text, name))
    return parsed


def test_the_next_process_parses_nothing_and_finds_the_same(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = fingerprint(folder)
    kept(folder)
    parsed = forbid_parsing(monkeypatch)
    assert fingerprint(folder) == before
    assert parsed == []


def test_a_file_that_changed_is_parsed_again_and_it_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = fingerprint(folder)
    kept(folder)
    parsed = forbid_parsing(monkeypatch)
    path = folder / "parts" / "base.py"
    times = path.stat()
    path.write_text("ZERO = 1\nONE = 1\n")  # as long as before
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert fingerprint(folder) != before
    assert parsed == ["base.py"]


@pytest.mark.parametrize("damage", ["", "[]", '{"method": 1', "other method", "lost piece"])
def test_what_is_damaged_or_of_another_method_does_not_count(folder: Path, damage: str) -> None:
    before = fingerprint(folder)
    file = kept(folder)
    content = json.loads(file.read_text())
    if damage == "other method":
        content["method"] = "0"
        content["files"]["parts.base"][1]["ZERO"][0] = "0"
        damage = json.dumps(content)
    elif damage == "lost piece":
        content["files"]["parts.base"][1]["ZERO"] = ["0"]
        damage = json.dumps(content)
    file.write_text(damage)
    assert fingerprint(folder) == before


def test_a_folder_that_cannot_be_written_costs_time_alone(folder: Path) -> None:
    before = fingerprint(folder)
    (folder / "__pycache__").write_text("a file where the folder should be")
    project = Project(folder)
    assert project.fingerprint(folder / "run.py") == before
    project.sources.keep()
