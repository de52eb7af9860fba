"""Tables of rows that need not fit into memory, written a group at a time (`clara.row_files.Rows` reads them so)."""

from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from clara.files import atomic_path
from clara.records import Record

RecordType = TypeVar("RecordType", bound=Record)

ROWS_WRITTEN = 65536
"""Rows of a group, always as many: the same rows give the same bytes, however they came."""


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
