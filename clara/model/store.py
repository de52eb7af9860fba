"""The store: memories of documents on disk, in shards that are mapped, not read."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy
import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from torch import Tensor

from clara.errors import CheckpointError, DataError, ResourceError
from clara.files import sha256_file, write_json
from clara.model.packing import StoreType, bytes_per_document, unpack
from clara.records import Passage, document_id, read_card_file
from clara.row_files import StoredRows, read_column, read_rows, write_rows

STORE_SCHEMA = 1
DOCUMENTS = "documents.parquet"
MANIFEST = "manifest.json"
DOCUMENTS_TOGETHER = 256
"""Documents in a block of DOCUMENTS: a question reads a few, from as many blocks."""
MOST_BLOCKS = 8192
"""Of DOCUMENTS, whose list of blocks is read whole: a larger store has larger ones."""


@dataclass(frozen=True)
class Shard:
    """One file of memories."""

    file: str
    documents: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What `manifest.json` says of a store."""

    compressor_hash: str
    """Hash of the compressor's parameters and its backbone; another compressor is refused."""
    num_documents: int
    num_memory: int
    dim: int
    dtype: StoreType
    documents_sha256: str
    """SHA-256 of `documents.parquet`, whose rows are in the order of the memories."""
    shards: list[Shard]
    schema: int = STORE_SCHEMA


class MemoryStore:
    """Memories by document.

    Args:
        path: the store's `manifest.json`.

    Raises:
        CheckpointError: it is no store, or shards are missing or shorter than the manifest says.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.folder = self.path.parent
        self.manifest = read_manifest(self.path)
        self._written = self.path.read_bytes()
        for shard in self.manifest.shards:
            if not (self.folder / shard.file).exists():
                raise CheckpointError(f"{self.folder / shard.file} is missing; {_made_anew(self.folder)}")
        sizes = [shard.documents for shard in self.manifest.shards]
        full = max(sizes, default=0)
        with self._listing():
            self._listed = StoredRows(Passage, self.folder / DOCUMENTS)
        listed = len(self._listed)
        fits = sum(sizes) == listed == self.manifest.num_documents
        if not fits or any(size != full for size in sizes[:-1]):
            raise CheckpointError(
                f"{path} lists {self.manifest.num_documents} documents and shards of {sizes}, but {DOCUMENTS} has "
                f"{listed}; {_made_anew(self.folder)}"
            )

    @cached_property
    def ids(self) -> "numpy.ndarray[Any, numpy.dtype[numpy.uint64]]":
        """Ids of the documents, in the order of their memories: eight bytes each, however long the texts are."""
        self._require_same()
        count = self.manifest.num_documents
        with self._listing():
            column = read_column(self.folder / DOCUMENTS, "id")
            return numpy.fromiter((int(text, 16) for text in column), dtype=numpy.uint64, count=count)

    @cached_property
    def _sorted(self) -> Any:
        return numpy.argsort(self.ids, kind="stable")

    @cached_property
    def documents(self) -> list[Passage]:
        """All documents, in the order of their memories.

        Raises:
            CheckpointError: they are damaged.
        """
        with self._listing():
            return read_rows(Passage, self.folder / DOCUMENTS)

    def passages(self, rows: Sequence[int]) -> list[Passage]:
        """Documents given by their number; of the others the blocks read last are kept in memory (64 MiB).

        Raises:
            CheckpointError: the store is another than when it was opened, or they are damaged.
        """
        self._require_same()
        with self._listing():
            return self._listed.numbered(rows)

    def texts(self, rows: Sequence[int]) -> list[str]:
        """Texts of documents given by their number, as `passages`."""
        return [passage.document for passage in self.passages(rows)]

    @property
    def unchanged(self) -> bool:
        """Whether its manifest is still the one that was opened."""
        return self.path.exists() and self.path.read_bytes() == self._written

    @contextmanager
    def _listing(self) -> Iterator[None]:
        try:
            yield
        except DataError as error:  # of itself it would say to make this file again: only the whole store is made
            raise CheckpointError(
                f"{self.folder / DOCUMENTS} is missing or damaged; {_made_anew(self.folder)}"
            ) from error

    def _require_same(self) -> None:
        # Memories stay mapped as they were, but texts are read anew each time: of a store that lost documents since, a
        # row's text would be another document's.
        if not self.unchanged:
            raise CheckpointError(
                f"the store {self.folder} was changed since it was opened; open it again (start the command again)"
            )

    def numbers(self, documents: Sequence[str]) -> list[int | None]:
        """Numbers of documents given by their text; None of those that are not in the store."""
        wanted = numpy.array([int(document_id(text), 16) for text in documents], dtype=numpy.uint64)
        order = self._sorted
        places = numpy.searchsorted(self.ids, wanted, sorter=order).clip(max=len(order) - 1)
        rows = order[places]
        return [int(row) if self.ids[row] == id_ else None for row, id_ in zip(rows, wanted, strict=True)]

    @cached_property
    def _shards(self) -> list[dict[str, Tensor]]:
        self._require_same()
        try:
            return [self._mapped(shard) for shard in self.manifest.shards]
        except PermissionError as error:
            raise ResourceError(
                f"a shard in {self.folder} may not be read ({error}); allow it and run again"
            ) from error
        except (OSError, SafetensorError) as error:
            raise CheckpointError(
                f"a shard in {self.folder} is damaged ({error}); {_made_anew(self.folder)}"
            ) from error

    def _mapped(self, shard: Shard) -> dict[str, Tensor]:
        path, manifest = self.folder / shard.file, self.manifest
        found = mapped(path)
        shape = [shard.documents, manifest.num_memory, manifest.dim]
        said = bytes_per_document(manifest.num_memory, manifest.dim, manifest.dtype) * shard.documents
        lengths = [len(tensor) for tensor in found.values()]
        held = list(found["memories"].shape) if "memories" in found else []
        wide = manifest.dtype == "int4" or held == shape
        if not wide or sum(t.nbytes for t in found.values()) != said or set(lengths) != {shard.documents}:
            raise CheckpointError(
                f"{path} holds memories of shape {held}, the manifest says {shape} in {manifest.dtype}; "
                f"{_made_anew(self.folder)}"
            )
        return found

    def memories(self, documents: Sequence[str]) -> Float[Tensor, "documents memory dim"]:
        """Memories of documents given by their text.

        Raises:
            DataError: a document is not in the store.
        """
        rows = self.numbers(documents)
        if None in rows:
            text = documents[rows.index(None)]
            raise DataError(
                f"the store {self.folder} lacks the document that begins {text[:60]!r}; compress the documents again"
            )
        return self.rows([row for row in rows if row is not None])

    def rows(self, rows: Sequence[int]) -> Float[Tensor, "documents memory dim"]:
        """Memories of documents given by their number."""
        # In a CPU's mixed precision torch cannot join the half-precision scales of int4.
        with torch.autocast("cpu", enabled=False):
            return unpack(self.packed(rows), self.manifest.dim)

    def packed(self, rows: Sequence[int]) -> dict[str, Tensor]:
        """The same as they lie in the files."""
        numbers = numpy.asarray(rows, dtype=numpy.int64)
        total = self.manifest.num_documents
        if (outside := numbers[(numbers < 0) | (numbers >= total)]).size:
            raise DataError(f"there is no document {outside[0]} in the store {self.folder}; they are 0 to {total - 1}")
        shards, places = numpy.divmod(numbers, self.manifest.shards[0].documents)
        order = shards.argsort(kind="stable")
        back = torch.from_numpy(order.argsort())
        touched = [(shard, torch.from_numpy(places[shards == shard])) for shard in numpy.unique(shards).tolist()]
        return {
            name: torch.cat([self._shards[shard][name].index_select(0, where) for shard, where in touched])[back]
            for name in self._shards[0]
        }

    def blocks(self, size: int) -> Iterator[tuple[int, Float[Tensor, "documents memory dim"]]]:
        """All memories in turn, at most `size` documents at a time, each block after the number of its first."""
        number = 0
        for shard in self._shards:
            for first in range(0, len(shard["memories"]), size):
                part = unpack({name: tensor[first : first + size] for name, tensor in shard.items()}, self.manifest.dim)
                yield number, part
                number += len(part)

    def require(self, compressor_hash: str) -> None:
        """Refuses a model whose compressor is not the one that built the store.

        Raises:
            CheckpointError: the hashes differ.
        """
        if compressor_hash != self.manifest.compressor_hash:
            raise CheckpointError(
                f"the store {self.folder} was built by a compressor with hash {self.manifest.compressor_hash[:12]}, "
                f"the model has {compressor_hash[:12]}; compress the documents with this model"
            )

    def verify(self) -> list[str]:
        """Names of files whose bytes are not those that were written, or that the disk does not give back.

        Raises:
            ResourceError: one may not be read.
        """
        files = [(shard.file, shard.sha256) for shard in self.manifest.shards]
        files.append((DOCUMENTS, self.manifest.documents_sha256))
        return [name for name, digest in files if _digest(self.folder / name) != digest]

    def require_unharmed(self) -> None:
        """Fails where a file is not as it was written; reads all of them once, as the steps of the workflow do.

        Raises:
            CheckpointError: names the files.
        """
        if harmed := self.verify():
            raise CheckpointError(
                f"{', '.join(harmed)} in {self.folder} is not as it was written, a damaged disk or an edit; "
                f"{_made_anew(self.folder)}"
            )


def _made_anew(folder: Path) -> str:
    # The whole folder: a store without its manifest is a folder that no command compresses into.
    return f"delete the folder {folder} and compress again"


def _digest(path: Path) -> str | None:
    try:
        return sha256_file(path)
    except DataError:  # missing, or the disk fails at it
        return None


def read_manifest(path: Path) -> Manifest:
    """The manifest of a store.

    Raises:
        CheckpointError: the file is no manifest of this version.
    """
    store = path.name == MANIFEST and (path.parent / DOCUMENTS).exists()  # any other file is another's, and to be kept
    remedy = _made_anew(path.parent) if store else "name a store's folder or its manifest.json"
    manifest = read_card_file(Manifest, path, "store manifest", remedy=remedy, unreadable=remedy)
    if manifest.schema != STORE_SCHEMA:
        raise CheckpointError(f"{path} has schema {manifest.schema}, this version reads {STORE_SCHEMA}; {remedy}")
    return manifest


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Writes the manifest, last of a store's files."""
    write_json(path, asdict(manifest))


def write_documents(path: Path, documents: Collection[Passage]) -> None:
    """Writes DOCUMENTS, in blocks from which a few documents are read fast."""
    write_rows(path, documents, block=max(DOCUMENTS_TOGETHER, -(-len(documents) // MOST_BLOCKS)))


def mapped(path: Path) -> dict[str, Tensor]:
    """The tensors of a shard file; their pages are read when they are used."""
    with Path(path).open(
        "rb"
    ):  # safetensors calls a file that may not be read a missing one; the system's error does not
        pass
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}
