"""Tables of rows that need not fit into memory, written a group at a time (`clara.row_files.Rows` reads them so)."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from clara.files import atomic_path
from clara.records import Record

RecordType = TypeVar("RecordType", bound=Record)

ROWS_WRITTEN = 65536
"""Rows of a group, always as many: the same rows give the same bytes, however they came."""


def write(kind: type[RecordType], path: Path, rows: Iterable[RecordType]) -> None:
    """Writes rows as Parquet with the columns of `kind`, which an empty table has as well; whole or not at all."""
    with writing(kind, path) as add:
        for row in rows:
            add(row)


@contextmanager
def writing(kind: type[RecordType], path: Path) -> Iterator[Callable[[RecordType], None]]:
    """A block that writes such a table by calling what it is given with each row."""
    import pyarrow
    import pyarrow.parquet

    types: dict[Any, Any] = {int: pyarrow.int64()}
    schema = pyarrow.schema(
        [(name, types.get(field.annotation, pyarrow.string())) for name, field in kind.model_fields.items()]
    )
    group: list[RecordType] = []
    with atomic_path(path) as temporary:
        with pyarrow.parquet.ParquetWriter(temporary, schema, compression="zstd", write_page_checksum=True) as writer:

            def write_group() -> None:
                writer.write_table(pyarrow.Table.from_pylist([row.model_dump() for row in group], schema=schema))
                group.clear()

            def add(row: RecordType) -> None:
                group.append(row)
                if len(group) == ROWS_WRITTEN:
                    write_group()

            yield add
            if group:
                write_group()
