"""The store: memories of documents on disk, in shards that are mapped, not read."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from torch import Tensor

from clara.errors import CheckpointError, DataError
from clara.files import sha256_file, write_json
from clara.records import Passage, document_id, read_card_file, read_rows

STORE_SCHEMA = 1
DOCUMENTS = "documents.parquet"


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
    dtype: str
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
        self.folder = Path(path).parent
        self.manifest = read_manifest(Path(path))
        for shard in self.manifest.shards:
            if not (self.folder / shard.file).exists():
                raise CheckpointError(f"{self.folder / shard.file} is missing; delete {path} and compress again")
        self._rows = {passage.id: number for number, passage in enumerate(self.documents)}
        sizes = [shard.documents for shard in self.manifest.shards]
        wanted, full = self.manifest.num_documents, max(sizes, default=0)
        if not sum(sizes) == len(self.documents) == wanted or any(size != full for size in sizes[:-1]):
            raise CheckpointError(
                f"{path} lists {wanted} documents and shards of {sizes}, but {DOCUMENTS} has {len(self.documents)}; "
                "delete the store and compress again"
            )

    @cached_property
    def documents(self) -> list[Passage]:
        """The documents, in the order of their memories."""
        return read_rows(Passage, self.folder / DOCUMENTS)

    @cached_property
    def _tensors(self) -> list[Tensor]:
        try:
            return [_mapped(self.folder / shard.file, self._shape(shard)) for shard in self.manifest.shards]
        except (OSError, SafetensorError) as error:
            raise CheckpointError(
                f"a shard in {self.folder} is damaged ({error}); delete it and compress again"
            ) from error

    def _shape(self, shard: Shard) -> list[int]:
        return [shard.documents, self.manifest.num_memory, self.manifest.dim]

    def memories(self, documents: Sequence[str]) -> Float[Tensor, "documents memory dim"]:
        """Memories of documents given by their text.

        Raises:
            DataError: a document is not in the store.
        """
        try:
            rows = [self._rows[document_id(text)] for text in documents]
        except KeyError as error:
            text = next(text for text in documents if document_id(text) not in self._rows)
            raise DataError(
                f"the store {self.folder} lacks the document that begins {text[:60]!r}; compress the documents again"
            ) from error
        return self.rows(rows)

    def rows(self, rows: Sequence[int]) -> Float[Tensor, "documents memory dim"]:
        """Memories of documents given by their number."""
        size = self.manifest.shards[0].documents if self.manifest.shards else 1
        return torch.stack([self._tensors[row // size][row % size] for row in rows])

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
        """Names of files whose bytes are not those that were written."""
        files = [(shard.file, shard.sha256) for shard in self.manifest.shards]
        files.append((DOCUMENTS, self.manifest.documents_sha256))
        return [name for name, digest in files if sha256_file(self.folder / name) != digest]


def read_manifest(path: Path) -> Manifest:
    """The manifest of a store.

    Raises:
        CheckpointError: the file is no manifest of this version.
    """
    manifest = read_card_file(Manifest, path, "store manifest", remedy="name the manifest.json of compression")
    if manifest.schema != STORE_SCHEMA:
        raise CheckpointError(f"{path} has schema {manifest.schema}, this version reads {STORE_SCHEMA}; compress again")
    return manifest


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Writes the manifest, last of a store's files."""
    write_json(path, asdict(manifest))


def _mapped(path: Path, shape: list[int]) -> Tensor:
    with safe_open(path, framework="pt") as file:
        tensor: Tensor = file.get_tensor("memories")
    if list(tensor.shape) != shape:
        raise CheckpointError(
            f"{path} holds memories of shape {list(tensor.shape)}, the manifest says {shape}; delete the store and "
            "compress again"
        )
    return tensor
