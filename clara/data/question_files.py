"""Rows of a benchmark's file, with their places for messages."""

import gzip
import io
import json
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from clara.errors import DataError
from clara.records import read_json_lines


class Row(NamedTuple):
    """A row of a file."""

    where: str
    """File and line, or file and entry."""
    values: dict[str, Any]

    def field(self, *names: str) -> Any:
        """The value of the first of `names` that the row has.

        Raises:
            DataError: it has none of them.
        """
        for name in names:
            if self.values.get(name) is not None:
                return self.values[name]
        raise self.fault(f"has no field {' or '.join(names)}; its fields are {', '.join(self.values) or 'none'}")

    def texts(self, *names: str) -> list[str]:
        """The same, which must be a text or a list of texts, as a list."""
        value = self.field(*names)
        values = [value] if isinstance(value, str) else value
        if not isinstance(values, list) or not all(isinstance(item, str) for item in values):
            raise self.fault(f"{names[0]} must be a text or a list of texts, found {type(value).__name__}")
        return values

    def objects(self, name: str) -> list[dict[str, Any]]:
        """The same, which must be a list of objects."""
        value = self.field(name)
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self.fault(f"{name} must be a list of objects")
        return value

    def fault(self, text: str) -> DataError:
        """An error that names the row."""
        return DataError(f"{self.where}: {text}; mend or remove the row, or check the benchmark's format")


def read_question_rows(path: Path) -> Iterator[Row]:
    """The rows of a JSON list or of JSON lines; the content tells which. `.gz` is unpacked.

    Raises:
        DataError: the file is missing, empty, damaged, not UTF-8, not JSON, or a row is no object.
    """
    values: Iterable[tuple[str, Any]]
    if _first_sign(path) == "[":
        values = ((f"{path} entry {number}", value) for number, value in enumerate(_json_list(path), 1))
    else:
        values = read_json_lines(path)
    for where, value in values:
        if not isinstance(value, dict):
            raise DataError(f"{where} must be an object, found {type(value).__name__}; mend or remove the row")
        yield Row(where, value)


def _read(path: Path, size: int = -1) -> str:
    try:
        raw = gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")
        with raw, io.TextIOWrapper(raw, encoding="utf-8") as file:
            return file.read(size)
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist; check the path in the configuration") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 ({error.reason}); convert the file to UTF-8") from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path} is a damaged gzip file ({error}); fetch it again") from error


def _first_sign(path: Path) -> str:
    return _read(path, 256).lstrip()[:1]


def _json_list(path: Path) -> list[Any]:
    try:
        values: list[Any] = json.loads(_read(path))
    except json.JSONDecodeError as error:
        raise DataError(f"{path} line {error.lineno} is not JSON ({error.msg}); fetch or mend the file") from error
    if not values:
        raise DataError(f"{path} holds no rows; expected a list of questions")
    return values
