"""Rows of a benchmark's file, with their places for messages."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from clara.errors import DataError
from clara.files import parse_json, reading, unpacked
from clara.json_lines import read_json_lines


class Row(NamedTuple):
    """A row of a file."""

    where: str
    """File and line, or file and entry."""
    values: dict[str, Any]

    def fault(self, text: str) -> DataError:
        """An error that names the row."""
        return DataError(f"{self.where}: {text}; mend or remove the row, or check the benchmark's format")


def read_question_rows(path: Path) -> Iterator[Row]:
    """The rows of a JSON list or of JSON lines, packed or not; the content tells which.

    Raises:
        DataError: the file is missing, empty, damaged, not UTF-8, not JSON, or a row is no object.
    """
    values: Iterable[tuple[str, Any]]
    if _read(path, 256).lstrip()[:1] == b"[":
        values = ((f"{path} entry {number}", value) for number, value in enumerate(_json_list(path), 1))
    else:
        values = read_json_lines(path)
    for where, value in values:
        if not isinstance(value, dict):
            raise DataError(f"{where} must be an object, found {type(value).__name__}; mend or remove the row")
        yield Row(where, value)


def _read(path: Path, size: int = -1) -> bytes:
    with reading(path), path.open("rb") as packed, unpacked(packed) as file:
        return file.read(size)


def _json_list(path: Path) -> list[Any]:
    with reading(path):
        text = _read(path).decode("utf-8")
    try:
        values: list[Any] = parse_json(text)
    except ValueError as error:
        raise DataError(f"{path} is not JSON ({error}); fetch or mend the file") from error
    if not values:
        raise DataError(f"{path} holds no rows; expected a list of questions")
    return values
