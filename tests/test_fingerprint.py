"""The fingerprint changes with what a program runs, and with nothing else."""

from pathlib import Path

import pytest

from clara.fingerprint import Project

PROGRAM = '''"""Adds."""

from parts.sums import add


def main():
    """Runs."""
    print(add(1, 2))
'''
SUMS = '''"""Sums."""

from parts import base as floor

UNUSED = 5


def add(a: int, b: int = 0) -> int:
    """The sum."""
    # plain
    return a + b + floor.ZERO


def subtract(a, b):
    return a - b
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "__init__.py").write_text("")
    (tmp_path / "parts" / "sums.py").write_text(SUMS)
    (tmp_path / "parts" / "base.py").write_text("ZERO = 0\nONE = 1\n")
    (tmp_path / "run.py").write_text(PROGRAM)
    return tmp_path


def fingerprint(folder: Path) -> str:
    return Project(folder).fingerprint(folder / "run.py")


def edited(folder: Path, file: str, old: str, new: str) -> str:
    path = folder / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return fingerprint(folder)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("parts/sums.py", "# plain", "# with care"),
        ("parts/sums.py", '"""The sum."""', '"""The sum of both."""'),
        ("parts/sums.py", '    """The sum."""\n', ""),
        ("parts/sums.py", '"""Sums."""', '"""Sums and differences."""'),
        ("parts/sums.py", "a + b + floor.ZERO", "(a + b\n            + floor.ZERO)"),
        ("parts/sums.py", "return a - b", "return b - a"),
        ("parts/sums.py", "UNUSED = 5", "UNUSED = 6"),
        ("parts/base.py", "ONE = 1", "ONE = 2"),
    ],
)
def test_comments_docstrings_formatting_and_unused_definitions_change_nothing(folder, file, old, new) -> None:
    before = fingerprint(folder)
    assert edited(folder, file, old, new) == before


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("run.py", "add(1, 2)", "add(1, 3)"),
        ("parts/sums.py", "a + b +", "a * b +"),
        ("parts/sums.py", "b: int = 0", "b: int = 1"),
        ("parts/base.py", "ZERO = 0", "ZERO = 7"),
        ("parts/sums.py", "UNUSED = 5", "UNUSED = 5\nprint(UNUSED)"),
        ("parts/sums.py", "from parts import base as floor", "from parts import other as floor"),
    ],
)
def test_what_runs_changes_it(folder, file, old, new) -> None:
    before = fingerprint(folder)
    assert edited(folder, file, old, new) != before


def test_an_import_inside_a_function_is_followed(folder) -> None:
    edited(folder, "run.py", "    print(add(1, 2))", "    from parts.base import ONE\n\n    print(ONE)")
    before = fingerprint(folder)
    assert edited(folder, "parts/base.py", "ONE = 1", "ONE = 2") != before


def test_a_class_brings_its_base_and_a_function_its_decorator(folder) -> None:
    (folder / "parts" / "base.py").write_text("def twice(f):\n    return f\n\n\nclass Root:\n    size = 1\n")
    (folder / "run.py").write_text(
        "from parts.base import Root, twice\n\n\nclass Leaf(Root):\n    pass\n\n\n@twice\ndef main():\n    Leaf()\n"
    )
    before = fingerprint(folder)
    after = edited(folder, "parts/base.py", "size = 1", "size = 2")
    assert after != before
    assert edited(folder, "parts/base.py", "return f", "return lambda: f") != after


def test_a_module_passed_around_counts_as_a_whole(folder) -> None:
    (folder / "run.py").write_text("from parts import base\n\nprint(vars(base))\n")
    before = fingerprint(folder)
    assert edited(folder, "parts/base.py", "ONE = 1", "ONE = 2") != before


def test_a_name_handed_on_by_a_package_is_followed_to_its_source(folder) -> None:
    (folder / "parts" / "__init__.py").write_text("from parts.sums import subtract\n")
    (folder / "run.py").write_text("from parts import subtract\n\nprint(subtract(2, 1))\n")
    before = fingerprint(folder)
    assert edited(folder, "parts/sums.py", "return a - b", "return b - a") != before


def test_a_relative_import_is_followed(folder) -> None:
    edited(folder, "parts/sums.py", "from parts import base as floor", "from . import base as floor")
    before = fingerprint(folder)
    assert edited(folder, "parts/base.py", "ZERO = 0", "ZERO = 7") != before


def test_moving_a_line_keeps_it_and_a_definition_that_appears_changes_it(folder) -> None:
    before = fingerprint(folder)
    assert edited(folder, "parts/sums.py", "UNUSED = 5", "\n\n\nUNUSED = 5") == before
    assert edited(folder, "parts/base.py", "ZERO = 0", "ZERO = 0\nZERO = ZERO + 1") != before
