"""Files of records: JSON lines, packed or not, and Parquet in blocks."""

import gzip
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import islice
from pathlib import Path
from typing import IO, Any, BinaryIO, overload

from clara.errors import ClaraError, DataError
from clara.files import atomic_path, reading
from clara.json_lines import read_json_lines, vouched
from clara.records import Record, RecordType, parse_row

ROW_GROUP = 4096
"""Rows of a Parquet file that are read together."""


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
