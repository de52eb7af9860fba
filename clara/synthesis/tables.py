"""Tables of rows that need not fit into memory: read and written a group at a time."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from clara.errors import ClaraError, DataError
from clara.files import atomic_path, reading
from clara.records import Record, parse_row

RecordType = TypeVar("RecordType", bound=Record)

ROWS_READ = 4096
ROWS_WRITTEN = 65536
"""Rows of a group, always as many: the same rows give the same bytes, however they came."""


def read(kind: type[RecordType], path: Path) -> Iterator[RecordType]:
    """The records of a Parquet file, one after the other.

    Raises:
        DataError: the file is missing or damaged, or a row is malformed.
    """
    import pyarrow.parquet

    number = 0
    try:
        with reading(path), Path(path).open("rb") as file:
            for batch in pyarrow.parquet.ParquetFile(file).iter_batches(ROWS_READ):
                for row in batch.to_pylist():
                    number += 1
                    yield parse_row(kind, row, f"{path} row {number}")
    except (ClaraError, GeneratorExit):
        raise
    except Exception as error:  # the reader raises many kinds on a damaged file
        raise DataError(f"{path} is no readable Parquet file ({error}); delete it and run its step again") from error


def write(kind: type[RecordType], path: Path, rows: Iterable[RecordType]) -> None:
    """Writes rows as Parquet with the columns of `kind`, which an empty table has as well; whole or not at all."""
    import pyarrow
    import pyarrow.parquet

    types: dict[Any, Any] = {int: pyarrow.int64()}
    schema = pyarrow.schema(
        [(name, types.get(field.annotation, pyarrow.string())) for name, field in kind.model_fields.items()]
    )
    left = iter(rows)
    with atomic_path(path) as temporary:
        with pyarrow.parquet.ParquetWriter(temporary, schema, compression="zstd", write_page_checksum=True) as writer:
            while group := list(islice(left, ROWS_WRITTEN)):
                table = pyarrow.Table.from_pylist([row.model_dump() for row in group], schema=schema)
                writer.write_table(table)
