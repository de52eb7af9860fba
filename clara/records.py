"""Typed rows of the files that pass between stages, and their reading and writing."""

import gzip
import reprlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import IO, Any, BinaryIO, Literal, TypeVar, overload

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from clara.errors import CheckpointError, ClaraError, DataError
from clara.files import atomic_path, parse_json, read_json, reading, sha256_file, text_id, unpacked
from clara.provenance import require_as_made

MAX_FAULTS = 5
"""Faults of one row that its message lists."""


class Record(BaseModel):
    """A row: typed, frozen; unknown fields are ignored, so that files of others load."""

    model_config = ConfigDict(frozen=True, extra="ignore")


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


ROW_GROUP = 4096
"""Rows of a Parquet file that are read together."""

RecordType = TypeVar("RecordType", bound=Record)
CardType = TypeVar("CardType")


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
        faults = "; ".join(_sentence(fault, row) for fault in error.errors()[:MAX_FAULTS])
        raise DataError(f"{where} is no {kind.__name__.lower()} row: field {faults}; mend or remove the row") from error
    if isinstance(record, Question):
        _check_gold(record, where)
    return record


def _sentence(fault: Any, row: Any) -> str:
    place = ".".join(str(part) for part in fault["loc"]) or "row"
    if fault["type"] == "missing" and len(fault["loc"]) == 1:
        return f"{place}: field required, there are {', '.join(map(str, row)) or 'none'}"
    # reprlib shortens, and stops where a value is nested deeply.
    return f"{place}: {fault['msg'][0].lower()}{fault['msg'][1:]}, found {reprlib.repr(fault['input'])}"


def _check_gold(record: Question, where: str) -> None:
    wrong = [index for index in record.pos_index if not 0 <= index < len(record.docs)]
    if wrong:
        raise DataError(
            f"{where}: pos_index holds {wrong[0]}, but docs has {len(record.docs)} entries (from 0 on); mend the row"
        )


def read_card_file(kind: type[CardType], path: Path, what: str, *, remedy: str) -> CardType:
    """The JSON object in `path` as a `kind`.

    Args:
        kind: a record or dataclass.
        path: the file.
        what: it is, for messages.
        remedy: for messages.

    Raises:
        DataError: the file is missing or is no JSON.
        CheckpointError: a field is missing or of another type; names it.
    """
    content = read_json(path)
    try:
        card: CardType = TypeAdapter(kind).validate_python(content)
    except ValidationError as error:
        raise CheckpointError(
            f"{path} is no {what} (field {_sentence(error.errors()[0], content)}); {remedy}"
        ) from error
    return card


def open_lines(path: Path) -> Iterator[tuple[str, str]]:
    """`FILE line N` and the text of each line that is not empty, of a UTF-8 file, packed or not.

    Raises:
        DataError: the file is missing, damaged, not UTF-8 or holds no rows.
    """
    with reading(path), Path(path).open("rb") as packed, unpacked(packed) as file:
        yield from decoded_lines(path, file)


def decoded_lines(path: Path, file: IO[bytes]) -> Iterator[tuple[str, str]]:
    """The same of a file that is open; `path` is its name.

    Raises:
        DataError: a line is not UTF-8, or there is none.
    """
    empty = True
    for number, line in enumerate(file, 1):
        where = f"{path} line {number}"
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise DataError(f"{where} is not UTF-8 ({error.reason}); convert the file to UTF-8") from error
        if text.strip():
            empty = False
            yield where, text
    if empty:
        raise DataError(f"{path} holds no rows; expected JSON lines")


def read_json_lines(path: Path) -> Iterator[tuple[str, Any]]:
    """`FILE line N` and the JSON value of each line.

    Raises:
        DataError: as `open_lines`, or a line is no JSON.
    """
    for where, line in open_lines(path):
        with vouched(Path(path)):
            value = json_line(line, where)
        yield where, value


@contextmanager
def vouched(path: Path) -> Iterator[None]:
    """A block that reads rows; a wrong one in a file that is not as the pipeline wrote it is not to be mended by hand.

    Raises:
        DataError: of the block; says to make the file again where a record beside it has another hash.
    """
    try:
        yield
    except DataError:
        require_as_made(path, sha256_file(path))
        raise


def json_line(line: str, where: str) -> Any:
    """The JSON value of a line.

    Raises:
        DataError: it is no JSON; `where` names file and line.
    """
    try:
        return parse_json(line)
    except ValueError as error:
        raise DataError(f"{where} is not JSON ({error}); mend or remove the line") from error


def read_rows(kind: type[RecordType], path: Path) -> list[RecordType]:
    """The records of a JSON-lines file (`.jsonl`, `.jsonl.gz`) or a Parquet file.

    Raises:
        DataError: names file, line and field.
    """
    path = Path(path)
    with vouched(path):
        if path.suffix == ".parquet":
            return [parse_row(kind, row, f"{path} row {number}") for number, row in enumerate(_parquet_rows(path), 1)]
        return [parse_row(kind, row, where) for where, row in read_json_lines(path)]


def read_numbered(kind: type[RecordType], path: Path, numbers: Sequence[int]) -> list[RecordType]:
    """The records of a Parquet file whose numbers, from 0, are given; only the blocks that hold them are read.

    Raises:
        DataError: as `read_rows`.
    """
    groups = sorted({number // ROW_GROUP for number in numbers})
    read = dict(zip(groups, (_parquet_rows(path, group=group) for group in groups), strict=True))
    rows = ((number, read[number // ROW_GROUP][number % ROW_GROUP]) for number in numbers)
    return [parse_row(kind, row, f"{path} row {number + 1}") for number, row in rows]


class StoredRows(Sequence[RecordType]):
    """The records of a Parquet file in blocks of ROW_GROUP, as `write_rows` makes it, read when they are asked for.

    Args:
        kind: of the records.
        path: the file.

    Raises:
        DataError: as `read_rows`; or its blocks are others.
    """

    def __init__(self, kind: type[RecordType], path: Path) -> None:
        self.kind, self.path = kind, path
        with _parquet(path) as file:
            sizes: list[int] = [
                file.metadata.row_group(number).num_rows for number in range(file.metadata.num_row_groups)
            ]
        if any(size != ROW_GROUP for size in sizes[:-1]) or (sizes and sizes[-1] > ROW_GROUP):
            raise DataError(
                f"{path} has blocks of {max(sizes)} rows, not of {ROW_GROUP}; run the step that writes it again"
            )
        self._count = sum(sizes)

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> RecordType: ...
    @overload
    def __getitem__(self, index: slice) -> list[RecordType]: ...
    def __getitem__(self, index: int | slice) -> RecordType | list[RecordType]:
        numbers = range(self._count)[index]
        if isinstance(numbers, int):
            return read_numbered(self.kind, self.path, [numbers])[0]
        return read_numbered(self.kind, self.path, numbers)

    def __iter__(self) -> Iterator[RecordType]:
        for first in range(0, self._count, ROW_GROUP):
            yield from self[first : first + ROW_GROUP]


def read_column(path: Path, name: str) -> Iterator[Any]:
    """One column of a Parquet file, a block in memory at a time.

    Raises:
        DataError: as `read_rows`.
    """
    for first in range(0, count_rows(path), ROW_GROUP):
        yield from (row[name] for row in _parquet_rows(path, columns=[name], group=first // ROW_GROUP))


def count_rows(path: Path) -> int:
    """Number of rows of a Parquet file, by its last bytes alone.

    Raises:
        DataError: as `read_rows`.
    """
    with _parquet(path) as file:
        return int(file.metadata.num_rows)


def _parquet_rows(path: Path, *, columns: list[str] | None = None, group: int | None = None) -> list[dict[str, Any]]:
    with _parquet(path) as file:
        table = file.read(columns) if group is None else file.read_row_group(group, columns)
        rows: list[dict[str, Any]] = table.to_pylist()
    return rows


@contextmanager
def _parquet(path: Path) -> Iterator[Any]:
    import pyarrow.parquet

    try:
        with reading(path), Path(path).open("rb") as opened:
            yield pyarrow.parquet.ParquetFile(opened, page_checksum_verification=True)
    except ClaraError:
        raise
    except Exception as error:  # the reader raises many kinds on a damaged file
        raise DataError(f"{path} is no readable Parquet file ({error}); delete it and run its step again") from error


def write_rows(path: Path, rows: Iterable[Record]) -> None:
    """Writes records as JSON lines, gzipped or not, or as Parquet, by the ending of `path`; whole or not at all.

    A block of them is in memory at a time.
    """
    path = Path(path)
    if path.suffix == ".parquet":
        import pyarrow
        import pyarrow.parquet

        left = iter(rows)
        table = pyarrow.Table.from_pylist([row.model_dump() for row in islice(left, ROW_GROUP)])
        if "null" in str(table.schema):  # a column whose type the first rows do not tell
            table = pyarrow.Table.from_pylist([*table.to_pylist(), *(row.model_dump() for row in left)])
        with atomic_path(path) as temporary:
            with pyarrow.parquet.ParquetWriter(
                temporary, table.schema, compression="zstd", write_page_checksum=True
            ) as writer:
                writer.write_table(table, row_group_size=ROW_GROUP)
                while group := [row.model_dump() for row in islice(left, ROW_GROUP)]:
                    writer.write_table(pyarrow.Table.from_pylist(group, schema=table.schema))
        return
    with atomic_path(path) as temporary, temporary.open("wb") as plain, _packed(plain, path) as file:
        for row in rows:
            file.write(row.model_dump_json().encode("utf-8") + b"\n")


def _packed(plain: BinaryIO, path: Path) -> AbstractContextManager[IO[bytes]]:
    if path.suffix != ".gz":
        return nullcontext(plain)
    # Neither time nor name: the same rows give the same bytes.
    return gzip.GzipFile(filename="", fileobj=plain, mode="wb", mtime=0)  # type: ignore[return-value]
