"""The paper's numbers, `paper/values/*.csv`: one a line, under the names that our own systems have."""

import csv
import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from clara.errors import DataError
from clara.files import reading

HEAD = ["backbone", "system", "setting", "benchmark", "metric", "value", "note"]
BACKBONES = ("mistral", "phi4")


class Place(NamedTuple):
    """Where a number stands."""

    system: str
    setting: str
    benchmark: str
    metric: str

    @property
    def dotted(self) -> str:
        """`system.setting.benchmark.metric`, without what is `all`."""
        return ".".join(part for part in self if part != "all")


class PaperValue(NamedTuple):
    """A number of the paper."""

    value: float
    note: str
    """What is doubtful about it; empty for most."""


Values = Mapping[Place, PaperValue]


def read_values(path: Path, backbone: str) -> dict[Place, PaperValue]:
    """The values of a file for one of the paper's backbones, with those that belong to neither.

    Raises:
        DataError: the file has another head, a number is none, or a place stands twice; names the line.
    """
    with reading(path):
        text = Path(path).read_text(encoding="utf-8")
    rows = csv.reader(io.StringIO(text))
    head = next(rows, [])
    if head != HEAD:
        raise DataError(f"{path} must begin with {','.join(HEAD)}, found {','.join(head) or 'nothing'}; mend its head")
    values: dict[Place, PaperValue] = {}
    seen: dict[tuple[str, ...], int] = {}
    for number, row in enumerate(rows, 2):
        where = f"{path} line {number}"
        if len(row) != len(HEAD):
            raise DataError(f"{where} has {len(row)} fields, not {len(HEAD)}; quote a note that holds a comma")
        if row[0] not in ("", *BACKBONES):
            raise DataError(f"{where}: the backbone is {row[0]!r}; expected {', '.join(BACKBONES)} or nothing")
        key = tuple(row[:5])
        if key in seen:
            raise DataError(f"{where} repeats the place of line {seen[key]}; keep one of them")
        seen[key] = number
        try:
            value = float(row[5])
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise DataError(f"{where}: the value {row[5]!r} is no number; write it with a point")
        if row[0] in ("", backbone):
            values[Place(*row[1:5])] = PaperValue(value, row[6])
    return values
