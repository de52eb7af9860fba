"""Copies beside the report's page: whole, alone in their folder, and never of what lies there."""

from pathlib import Path

import pytest

from clara.errors import ConfigError, DataError
from clara.evaluation.site import FIGURE_FORMS, FOLDER, forms, gather


def test_the_forms_of_a_file_lie_beside_it() -> None:
    assert forms(Path("a/table_2.csv"), (".csv", ".diff.md")) == [Path("a/table_2.csv"), Path("a/table_2.diff.md")]
    assert forms(Path("a/states.svg"), FIGURE_FORMS)[1] == Path("a/states.png")


def test_the_folder_holds_the_copies_and_nothing_else(tmp_path: Path) -> None:
    file, page = tmp_path / "made" / "a.csv", tmp_path / "report" / "index.html"
    file.parent.mkdir()
    file.write_bytes(b"1\r\n")
    stale = page.parent / FOLDER / "b.csv"
    stale.parent.mkdir(parents=True)
    stale.write_text("2")
    assert gather(page, [file, file]) == {file: page.parent / FOLDER / "a.csv"}
    assert [path.name for path in page.parent.iterdir()] == [FOLDER]
    assert [(path.name, path.read_bytes()) for path in stale.parent.iterdir()] == [("a.csv", b"1\r\n")]


def test_a_missing_file_leaves_the_folder_as_it_was(tmp_path: Path) -> None:
    page = tmp_path / "index.html"
    kept = tmp_path / FOLDER / "b.csv"
    kept.parent.mkdir()
    kept.write_text("2")
    with pytest.raises(DataError, match=r"a.csv does not exist"):
        gather(page, [tmp_path / "a.csv"])
    with pytest.raises(ConfigError, match=r"b.csv lies in .*, which the report empties"):
        gather(page, [kept])
    assert kept.read_text() == "2"
