"""Typed rows of the files that pass between stages, and their reading and writing."""

import gzip
import io
import json
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from clara.errors import DataError
from clara.files import atomic_path, text_id


class Record(BaseModel):
    """A row: typed, frozen; unknown fields are ignored, so that files of others load."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)


class Passage(Record):
    """A piece of an article."""

    id: str
    """`text_id` of `document`."""
    title: str
    text: str

    @property
    def document(self) -> str:
        """Title and text as the compressor and the prompts see them."""
        return document_text(self.title, self.text)


class Question(Record):
    """A question with its pool of candidate documents."""

    id: str
    question: str = Field(min_length=1)
    golden_answers: list[str] = Field(min_length=1)
    docs: list[str] = Field(min_length=1)
    """Candidate documents, `Title\\nText`."""
    pos_index: list[int]
    """Indices of the gold documents in `docs`; may be empty where gold is not forced."""
    type: str = ""
    """The benchmark's own question type."""


class Pair(Record):
    """One synthesized row; a paraphrase has an empty question and the rewritten document as answer."""

    id: str
    """`text_id` of kind, document, question and answer."""
    document_id: str
    document: str
    kind: Literal["simple", "complex", "paraphrase"]
    question: str
    answer: str
    round: int = 0
    """Round of the loop that made it, from 1; 0 for published data."""
    prompts: str = ""
    """Version of the prompts that made it."""
    source: str = ""
    """model, facts or templates (see `synthesis.question_sources`); empty for published data."""


class Prediction(Record):
    """What a system answered to one question, before any scoring."""

    system: str
    benchmark: str
    setting: Literal["oracle", "normal"]
    id: str
    question: str
    golden_answers: list[str]
    prediction: str | None
    """The answer; null for systems that only rank."""
    ranking: list[int] | None
    """All candidates' indices, best first; null for systems that do not rank."""
    scores: list[float] | None
    """Score of each candidate, in the order of `docs`."""
    selected: list[int]
    """Candidates that the generator read, in the order in which it read them."""
    pos_index: list[int]


def document_text(title: str, text: str) -> str:
    """`Title\\nText`, or the text alone where there is no title."""
    return f"{title}\n{text}" if title else text


def document_id(document: str) -> str:
    """The id under which a document is stored: a hash of the whole text."""
    return text_id(document)


RecordType = TypeVar("RecordType", bound=Record)


@lru_cache
def _adapter(kind: type[RecordType]) -> TypeAdapter[RecordType]:
    return TypeAdapter(kind)


def parse_row(kind: type[RecordType], row: Any, where: str) -> RecordType:
    """`row` as a record.

    Raises:
        DataError: a field is missing or of another type; `where` names file and line.
    """
    try:
        record: RecordType = _adapter(kind).validate_python(row)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(str(part) for part in fault['loc']) or 'row'}: {fault['msg'][0].lower()}{fault['msg'][1:]}"
            for fault in error.errors()
        )
        raise DataError(f"{where} is no {kind.__name__.lower()} row: field {faults}; mend or remove the row") from error
    if isinstance(record, Question):
        _check_gold(record, where)
    return record


def _check_gold(record: Question, where: str) -> None:
    wrong = [index for index in record.pos_index if not 0 <= index < len(record.docs)]
    if wrong:
        raise DataError(
            f"{where}: pos_index holds {wrong[0]}, but docs has {len(record.docs)} entries (from 0 on); mend the row"
        )


def open_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Line numbers from 1 and non-empty lines of a UTF-8 text file, gzipped or not.

    Raises:
        DataError: the file is missing, empty, damaged or not UTF-8.
    """
    path = Path(path)
    empty = True
    number = 0
    try:
        raw = gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")
        with raw, io.TextIOWrapper(raw, encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    empty = False
                    yield number, line
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist; check the path in the configuration") from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not UTF-8 after line {number} ({error.reason}); convert the file to UTF-8"
        ) from error
    except (EOFError, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is a damaged gzip file after line {number}; fetch it again") from error
    if empty:
        raise DataError(f"{path} holds no rows; expected JSON lines")


def read_json_lines(path: Path) -> Iterator[tuple[str, Any]]:
    """`FILE line N` and the JSON value of each line.

    Raises:
        DataError: as `open_lines`, or a line is no JSON.
    """
    for number, line in open_lines(path):
        where = f"{path} line {number}"
        try:
            yield where, json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(
                f"{where} is not JSON ({error.msg} at column {error.colno}); mend or remove the line"
            ) from error


def read_rows(kind: type[RecordType], path: Path) -> list[RecordType]:
    """The records of a JSON-lines file (`.jsonl`, `.jsonl.gz`) or a Parquet file.

    Raises:
        DataError: names file, line and field.
    """
    path = Path(path)
    if path.suffix == ".parquet":
        return [parse_row(kind, row, f"{path} row {number}") for number, row in enumerate(_parquet_rows(path), 1)]
    return [parse_row(kind, row, where) for where, row in read_json_lines(path)]


def _parquet_rows(path: Path) -> list[dict[str, Any]]:
    import pyarrow
    import pyarrow.parquet

    try:
        rows: list[dict[str, Any]] = pyarrow.parquet.read_table(path).to_pylist()
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist; run the step that makes it") from error
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise DataError(f"{path} is no readable Parquet file ({error}); delete it and run its step again") from error
    return rows


def write_rows(path: Path, rows: Iterable[Record]) -> None:
    """Writes records as JSON lines or Parquet, by the ending of `path`; whole or not at all."""
    path = Path(path)
    if path.suffix == ".parquet":
        import pyarrow
        import pyarrow.parquet

        values = [row.model_dump() for row in rows]
        with atomic_path(path) as temporary:
            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(values), temporary, compression="zstd")
        return
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(row.model_dump_json() + "\n")
