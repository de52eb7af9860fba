"""A store as one file that other programs read: Parquet with memories, or JSON lines of the passages alone."""

from pathlib import Path

from clara.errors import DataError
from clara.files import atomic_path
from clara.model.store import MemoryStore
from clara.row_files import write_rows

BLOCK = 1024
"""Passages written together; bounds the memory used."""


def export_store(store: MemoryStore, target: Path, *, overwrite: bool = False) -> None:
    """Writes `id`, `title`, `text` and, as Parquet, `memory`: the vectors in turn, flattened, float32.

    The shape of a memory, `[vectors, numbers]`, stands in the Parquet file's metadata as `memory_shape`.

    Args:
        store: the store.
        target: the file.
        overwrite: write over a file that is there.

    Raises:
        DataError: the ending of `target` is neither .parquet nor .jsonl, or it is there, or within the store.
    """
    if target.suffix not in (".parquet", ".jsonl"):
        raise DataError(f"{target}: expected a file that ends with .parquet or .jsonl; name another")
    if target.resolve().is_relative_to(store.folder.resolve()):
        raise DataError(f"{target} is within the store {store.folder}, whose own files stand there; name another place")
    if target.exists() and not overwrite:
        raise DataError(f"{target} is there already; name another file, or write over it with --overwrite")
    if target.suffix == ".jsonl":
        write_rows(target, store.documents)
        return
    import pyarrow
    import pyarrow.parquet

    manifest = store.manifest
    size = manifest.num_memory * manifest.dim
    texts = [pyarrow.field(name, pyarrow.string()) for name in ("id", "title", "text")]
    shape = {"memory_shape": f"[{manifest.num_memory}, {manifest.dim}]", "compressor_hash": manifest.compressor_hash}
    schema = pyarrow.schema([*texts, pyarrow.field("memory", pyarrow.list_(pyarrow.float32(), size))], metadata=shape)
    documents = store.documents
    with atomic_path(target) as temporary, pyarrow.parquet.ParquetWriter(temporary, schema) as writer:
        for first, memories in store.blocks(BLOCK):
            part = documents[first : first + len(memories)]
            values = pyarrow.array(memories.float().flatten().numpy())
            columns = [[getattr(row, field.name) for row in part] for field in texts]
            flat = pyarrow.FixedSizeListArray.from_arrays(values, size)
            writer.write_table(pyarrow.Table.from_arrays([*map(pyarrow.array, columns), flat], schema=schema))
