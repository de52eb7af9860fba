"""Building a store: documents to memories, shard by shard."""

import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from clara.errors import ClaraError, DataError, ResourceError
from clara.files import atomic_path, read_json, sha256_file, text_id, write_json
from clara.model.checkpoint import LoadedCheckpoint
from clara.model.clara import ClaraModel
from clara.model.encoding import encode_texts
from clara.model.packing import StoreType, bytes_per_document, pack
from clara.model.store import DOCUMENTS, MANIFEST, Manifest, MemoryStore, Shard, write_documents, write_manifest
from clara.progress import Progress
from clara.records import Passage


def build_store(
    loaded: LoadedCheckpoint,
    documents: Sequence[Passage],
    manifest: Path,
    *,
    state: Path,
    dtype: StoreType,
    shard_documents: int,
    batch_tokens: int,
    previous: MemoryStore | None = None,
    store: Path | None = None,
) -> Manifest:
    """Compresses `documents` into a store beside `manifest`; only what is in no earlier store of them is compressed.

    Finished shards of an interrupted build are kept. A document that the last build with this `state`, or `previous`,
    compressed with the same compressor to the same type is taken over from there.

    Args:
        loaded: the checkpoint whose compressor is used.
        documents: their order is the store's.
        manifest: where `manifest.json` goes.
        state: finished shards wait here until the store is whole, whose files are links to them where they can be.
        dtype: of the stored memories.
        shard_documents: documents a shard; bounds the memory used.
        batch_tokens: tokens of one forward pass, padding included.
        previous: another store of the same compressor.
        store: the folder that takes the built one's place, for messages; None: the manifest's stays.

    Raises:
        DataError: there are no documents.
        CheckpointError: a file of `previous` is not as it was written.
        ResourceError: the disk has no room for the store.
    """
    if not documents:
        raise DataError("there is no document to compress; the documents file holds no rows")
    if previous is not None:  # damaged rows that are taken over would be hashed anew, and nothing could tell them again
        previous.require_unharmed()
    parts = [documents[first : first + shard_documents] for first in range(0, len(documents), shard_documents)]
    files = [state / f"{_origin(loaded.compressor_hash, dtype, part)}.safetensors" for part in parts]
    size = require_room(loaded.model, len(documents), dtype, state, made=files, store=store)
    if _disk(state) != _disk(manifest.parent):  # where links are none, and finished files are copied
        require_room(loaded.model, len(documents), dtype, manifest.parent, store=store)
    print(f"the store of {len(documents):,} documents will take {size / 2**20:,.1f} MiB as {dtype}", file=sys.stderr)
    kept = previous or _last_build(state, loaded.compressor_hash)
    if kept is not None and (kept.manifest.compressor_hash, kept.manifest.dtype) != (loaded.compressor_hash, dtype):
        kept = None
    shards = []
    with Progress("compressing", total=len(documents), unit="documents") as progress:
        done = 0
        for part, file in zip(parts, files, strict=True):
            if not _finished(file):
                tensors = _tensors(loaded.model, part, kept, dtype=dtype, batch_tokens=batch_tokens, progress=progress)
                with atomic_path(file) as temporary:
                    save_file(tensors, temporary)
                write_json(file.with_suffix(".json"), {"sha256": sha256_file(file)})
            done += len(part)
            progress.update(done)
            shards.append(Shard(file.name, len(part), str(read_json(file.with_suffix(".json"))["sha256"])))
    write_documents(state / DOCUMENTS, documents)
    result = Manifest(
        compressor_hash=loaded.compressor_hash,
        num_documents=len(documents),
        num_memory=loaded.model.shape.num_memory,
        dim=loaded.model.backbone.hidden_size,
        dtype=dtype,
        documents_sha256=sha256_file(state / DOCUMENTS),
        shards=shards,
    )
    write_manifest(state / MANIFEST, result)
    _drop_others(state, shards)
    return _publish(state, result, manifest)


def require_room(
    model: ClaraModel,
    documents: int,
    dtype: StoreType,
    folder: Path,
    *,
    made: Sequence[Path] = (),
    store: Path | None = None,
) -> int:
    """Bytes that the memories of so many documents take on the disk.

    Args:
        model: the compressor.
        documents: how many.
        dtype: of the stored memories.
        folder: where they go.
        made: files of them that may lie there already, which need no room again.
        store: of the command line, as the message names it; None: of the pipeline.

    Raises:
        ResourceError: the disk that holds `folder` has less room than is lacking.
    """
    size = documents * bytes_per_document(model.shape.num_memory, model.backbone.hidden_size, dtype)
    lacking = size - sum(file.stat().st_size for file in made if file.exists())
    free = shutil.disk_usage(_existing(folder)).free
    if lacking > free:
        setting = "compression.dtype" if store is None else "--dtype of a new store"
        raise ResourceError(
            f"the store of {documents:,} documents takes {size / 1e9:.1f} GB as {dtype}, of which {lacking / 1e9:.1f} "
            f"are not yet there, the disk of {store or folder} has room for {free / 1e9:.1f} GB; choose a smaller type "
            f"({setting}) or another disk"
        )
    return size


def _existing(folder: Path) -> Path:
    """The folder, or the nearest above it that exists."""
    return next(path for path in [folder, *folder.absolute().parents] if path.exists())


def _disk(folder: Path) -> int:
    return _existing(folder).stat().st_dev


def _tensors(
    model: ClaraModel,
    documents: Sequence[Passage],
    kept: MemoryStore | None,
    *,
    dtype: StoreType,
    batch_tokens: int,
    progress: Progress,
) -> dict[str, Tensor]:
    """What a shard's file holds: rows taken over where there are, the others compressed."""
    texts = [passage.document for passage in documents]
    found = kept.numbers(texts) if kept is not None else [None] * len(texts)
    new = [index for index, row in enumerate(found) if row is None]
    old = [index for index, row in enumerate(found) if row is not None]
    made: dict[str, Tensor] = {}
    if new:
        inputs = [model.tokens.to_compress(texts[index]) for index in new]
        if cut := sum(item.cut > 0 for item in inputs):
            limit = model.shape.document_max_tokens
            print(f"{cut} of {len(inputs)} documents are longer than {limit} tokens; the rest is cut", file=sys.stderr)
        made = pack(encode_texts(model, inputs, batch_tokens=batch_tokens, progress=progress), dtype)
    if kept is None or not old:
        return made
    taken = kept.packed([row for row in found if row is not None])
    order = torch.tensor(new + old).argsort()
    return {name: torch.cat([made[name], part])[order] if new else part for name, part in taken.items()}


def _last_build(state: Path, compressor_hash: str) -> MemoryStore | None:
    """The store that the last finished build left in `state`, if it is whole and of this compressor."""
    if not (state / MANIFEST).exists():
        return None
    try:
        store = MemoryStore(state / MANIFEST)
        store.require(compressor_hash)
    except ClaraError:
        return None  # nothing is lost but time
    return None if store.verify() else store


def _drop_others(state: Path, shards: Sequence[Shard]) -> None:
    names = {shard.file for shard in shards}
    for file in state.glob("*.safetensors"):
        if file.name not in names:
            file.unlink()
            file.with_suffix(".json").unlink(missing_ok=True)


def _publish(state: Path, built: Manifest, manifest: Path) -> Manifest:
    """Puts the finished files beside `manifest`, under names by number, and writes it last."""
    manifest.parent.mkdir(parents=True, exist_ok=True)
    names = [f"memories-{number:05d}.safetensors" for number in range(len(built.shards))]
    shards = [replace(shard, file=name) for shard, name in zip(built.shards, names, strict=True)]
    manifest.unlink(missing_ok=True)  # until all files are there, there is no store
    for source, target in [*((s.file, t) for s, t in zip(built.shards, names, strict=True)), (DOCUMENTS, DOCUMENTS)]:
        with atomic_path(manifest.parent / target) as temporary:
            try:
                temporary.hardlink_to(state / source)
            except OSError:  # another disk, or one that knows no links
                shutil.copyfile(state / source, temporary)
    result = replace(built, shards=shards)
    write_manifest(manifest, result)
    return result


def _origin(compressor_hash: str, dtype: str, documents: Sequence[Passage]) -> str:
    """Hash of what a shard is made from: a shard of other documents or another compressor is made again."""
    return text_id("\n".join([compressor_hash, dtype, *(passage.document for passage in documents)]))


def _finished(file: Path) -> bool:
    card = file.with_suffix(".json")
    return file.exists() and card.exists() and bool(read_json(card).get("sha256") == sha256_file(file))
