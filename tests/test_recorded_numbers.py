"""Every interval on a recorded run's page stands in a CSV file beside it; the README's in one of them."""

import csv
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.workflow.checkout import ROOT

RECORDED = ROOT / "docs" / "results"
INTERVAL = re.compile(r"([+-]?\d+\.\d+)\*{0,2} \[([+-]?\d+\.\d+), ([+-]?\d+\.\d+)\]")
FOLDERS = sorted(path.parent for path in RECORDED.glob("*/README.md"))


def measured(folder: Path) -> Iterator[tuple[float, float, float]]:
    """Each number of a row that has an interval, with it, and the same seen from the other side."""
    for file in folder.glob("*.csv"):
        with file.open(encoding="utf-8", newline="") as rows:
            for row in csv.DictReader(rows):
                found = {key: number for key, text in row.items() if (number := _number(text)) is not None}
                if {"low", "high"} <= found.keys():
                    low, high = found.pop("low"), found.pop("high")
                    yield from ((value, low, high) for value in found.values())
                    yield from ((-value, -high, -low) for value in found.values())


def _number(text: object) -> float | None:
    try:
        return float(str(text))
    except ValueError:
        return None


def stated(page: Path) -> list[tuple[str, str, str]]:
    return INTERVAL.findall(page.read_text(encoding="utf-8").replace("\u2212", "-"))


def stands(said: tuple[str, str, str], found: set[tuple[float, float, float]]) -> bool:
    """Whether some row rounds to what is said."""
    half = 0.5 * 10.0 ** -len(said[0].partition(".")[2]) + 1e-6
    wanted = [float(text) for text in said]
    return any(all(abs(a - b) <= half for a, b in zip(wanted, row, strict=True)) for row in found)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_every_interval_of_a_recorded_run_stands_in_a_file_beside_it(folder: Path) -> None:
    found = set(measured(folder))
    said = stated(folder / "README.md")
    assert said
    assert [each for each in said if not stands(each, found)] == []


def test_every_interval_of_the_readme_stands_in_a_recorded_run() -> None:
    found = {row for folder in FOLDERS for row in measured(folder)}
    said = stated(ROOT / "README.md")
    assert len(said) > 50
    assert [each for each in said if not stands(each, found)] == []
