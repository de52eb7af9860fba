"""Files of records: JSON lines, packed or not, and Parquet in blocks."""

import gzip
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from itertools import accumulate, islice
from pathlib import Path
from threading import Lock
from typing import IO, Any, BinaryIO, overload

from clara.errors import ClaraError, DataError
from clara.files import atomic_path, reading
from clara.json_lines import read_json_lines, vouched
from clara.records import Record, RecordType, parse_row

ROW_GROUP = 4096
"""Rows of a Parquet file that are written, and so read, together, where nothing else is said."""
KEPT_BYTES = 64 * 2**20
"""Of a file's blocks that were read last."""


def read_rows(kind: type[RecordType], path: Path) -> list[RecordType]:
    """The records of a JSON-lines file (`.jsonl`, `.jsonl.gz`) or a Parquet file.

    Raises:
        DataError: names file, line and field.
    """
    return list(Rows(kind, path))


class Rows(Iterable[RecordType]):
    """The records of files as `read_rows` takes them, one after the other, however many: a block of them is in memory.

    They are read anew each time that one goes through them.

    Args:
        kind: of the records.
        paths: the files.
    """

    def __init__(self, kind: type[RecordType], *paths: Path) -> None:
        self.kind, self.paths = kind, paths

    def __iter__(self) -> Iterator[RecordType]:
        for path in map(Path, self.paths):
            with vouched(path):
                for where, row in _numbered(path) if path.suffix.lower() == ".parquet" else read_json_lines(path):
                    yield parse_row(self.kind, row, where)


class StoredRows(Sequence[RecordType]):
    """The records of a Parquet file, whose blocks are read when a record in them is asked for; threads may share it.

    Args:
        kind: of the records.
        path: the file.
        kept_bytes: of the blocks that were read last, which are kept, though always one.

    Raises:
        DataError: as `read_rows`.
    """

    def __init__(self, kind: type[RecordType], path: Path, *, kept_bytes: int = KEPT_BYTES) -> None:
        self.kind, self.path, self.kept_bytes = kind, path, kept_bytes
        with _parquet(path) as file:
            self._metadata: Any = file.metadata
        sizes = (self._metadata.row_group(number).num_rows for number in range(self._metadata.num_row_groups))
        self._firsts: list[int] = list(accumulate(sizes, initial=0))
        self._blocks: OrderedDict[int, Any] = OrderedDict()
        self._held = 0
        self._lock = Lock()

    def __len__(self) -> int:
        return self._firsts[-1]

    @overload
    def __getitem__(self, index: int) -> RecordType: ...
    @overload
    def __getitem__(self, index: slice) -> list[RecordType]: ...
    def __getitem__(self, index: int | slice) -> RecordType | list[RecordType]:
        numbers = range(len(self))[index]
        return self.numbered([numbers])[0] if isinstance(numbers, int) else self.numbered(numbers)

    def __iter__(self) -> Iterator[RecordType]:
        for first, end in zip(self._firsts, self._firsts[1:], strict=False):
            yield from self[first:end]

    def numbered(self, numbers: Sequence[int]) -> list[RecordType]:
        """The records whose numbers, from 0, are given; each block that holds some is read once.

        Raises:
            DataError: as `read_rows`.
        """
        wanted: dict[int, list[int]] = {}
        for number in sorted(set(numbers)):
            wanted.setdefault(bisect_right(self._firsts, number) - 1, []).append(number)
        read: dict[int, RecordType] = {}
        with self._lock, ExitStack() as opened:
            file: Any = None
            for block, inside in wanted.items():
                if block not in self._blocks and file is None:
                    file = opened.enter_context(_parquet(self.path, metadata=self._metadata))
                rows = self._block(block, file).take([number - self._firsts[block] for number in inside]).to_pylist()
                for number, row in zip(inside, rows, strict=True):
                    read[number] = parse_row(self.kind, row, f"{self.path} row {number + 1}")
        return [read[number] for number in numbers]

    def _block(self, number: int, file: Any) -> Any:
        if number in self._blocks:
            self._blocks.move_to_end(number)
            return self._blocks[number]
        found = self._blocks[number] = file.read_row_group(number, use_threads=False)
        self._held += found.nbytes
        while self._held > self.kept_bytes and len(self._blocks) > 1:
            self._held -= self._blocks.popitem(last=False)[1].nbytes
        return found


def read_column(path: Path, name: str) -> Iterator[Any]:
    """One column of a Parquet file, a block in memory at a time.

    Raises:
        DataError: as `read_rows`.
    """
    with _parquet(path) as file:
        for number in range(file.num_row_groups):
            yield from file.read_row_group(number, [name]).column(0).to_pylist()


def _numbered(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """`FILE row N` and each row of a Parquet file, from 1."""
    number = 0
    with _parquet(path) as file:
        for batch in file.iter_batches(ROW_GROUP):
            for row in batch.to_pylist():
                number += 1
                yield f"{path} row {number}", row


@contextmanager
def _parquet(path: Path, *, metadata: Any = None) -> Iterator[Any]:
    import pyarrow.parquet

    try:
        with reading(path), Path(path).open("rb") as opened:
            yield pyarrow.parquet.ParquetFile(opened, metadata=metadata, page_checksum_verification=True)
    except ClaraError:
        raise
    except Exception as error:  # the reader raises many kinds on a damaged file
        raise DataError(
            f"{path} is no readable Parquet file ({error}); replace it or, where a step made it, delete it and run its "
            "step again"
        ) from error


def write_rows(path: Path, rows: Iterable[Record], *, block: int | None = None) -> None:
    """Writes records as JSON lines, gzipped or not, or as Parquet, by the ending of `path`; whole or not at all.

    Args:
        path: the file.
        rows: a block of them is in memory at a time.
        block: records of a Parquet file that are read together; None: ROW_GROUP.
    """
    path = Path(path)
    if path.suffix == ".parquet":
        import pyarrow
        import pyarrow.parquet

        left, block = iter(rows), block or ROW_GROUP
        table = pyarrow.Table.from_pylist([row.model_dump() for row in islice(left, block)])
        if "null" in str(table.schema):  # a column whose type the first rows do not tell
            table = pyarrow.Table.from_pylist([*table.to_pylist(), *(row.model_dump() for row in left)])
        with atomic_path(path) as temporary:
            with pyarrow.parquet.ParquetWriter(
                temporary, table.schema, compression="zstd", write_page_checksum=True
            ) as writer:
                writer.write_table(table, row_group_size=block)
                while group := [row.model_dump() for row in islice(left, block)]:
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
