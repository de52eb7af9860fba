"""Building a store: documents to memories, shard by shard, in batches of near-equal length."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from clara.errors import DataError
from clara.files import atomic_path, read_json, sha256_file, text_id, write_json
from clara.model.adapters import COMPRESSOR
from clara.model.checkpoint import LoadedCheckpoint
from clara.model.clara import ClaraModel
from clara.model.store import DOCUMENTS, Manifest, Shard, write_manifest
from clara.progress import Progress
from clara.records import Passage, write_rows
from clara.tokens import CompressorInput


def build_store(
    loaded: LoadedCheckpoint,
    documents: Sequence[Passage],
    manifest: Path,
    *,
    state: Path,
    dtype: str,
    shard_documents: int,
    batch_tokens: int,
) -> Manifest:
    """Compresses `documents` into a store beside `manifest`; finished shards of an interrupted build are kept.

    Args:
        loaded: the checkpoint whose compressor is used.
        documents: their order is the store's.
        manifest: where `manifest.json` goes.
        state: finished shards wait here until the store is whole.
        dtype: of the stored memories.
        shard_documents: documents a shard; bounds the memory used.
        batch_tokens: tokens of one forward pass, padding included.

    Raises:
        DataError: there are no documents.
    """
    if not documents:
        raise DataError("there is no document to compress; the documents file holds no rows")
    model = loaded.model
    shards = []
    inputs = [model.tokens.to_compress(passage.document) for passage in documents]
    total = sum(len(item.ids) for item in inputs)
    with Progress("compressing", total=total, unit="tokens") as progress:
        for number, start in enumerate(range(0, len(documents), shard_documents)):
            part = inputs[start : start + shard_documents]
            file = state / f"memories-{number:05d}.safetensors"
            origin = _origin(loaded.compressor_hash, dtype, documents[start : start + shard_documents])
            if not _finished(file, origin):
                vectors = compress(model, part, batch_tokens=batch_tokens, progress=progress).to(getattr(torch, dtype))
                with atomic_path(file) as temporary:
                    save_file({"memories": vectors.contiguous()}, temporary)
                write_json(file.with_suffix(".json"), {"sha256": sha256_file(file), "origin": origin})
            else:
                progress.update(progress.done + sum(len(item.ids) for item in part))
            shards.append(Shard(file.name, len(part), str(read_json(file.with_suffix(".json"))["sha256"])))
    manifest.parent.mkdir(parents=True, exist_ok=True)
    for shard in shards:
        with atomic_path(manifest.parent / shard.file) as temporary:
            shutil.copyfile(state / shard.file, temporary)
    write_rows(manifest.parent / DOCUMENTS, documents)
    result = Manifest(
        compressor_hash=loaded.compressor_hash,
        num_documents=len(documents),
        num_memory=model.shape.num_memory,
        dim=model.backbone.hidden_size,
        dtype=dtype,
        documents_sha256=sha256_file(manifest.parent / DOCUMENTS),
        shards=shards,
    )
    write_manifest(manifest, result)
    return result


@torch.inference_mode()
def compress(
    model: ClaraModel,
    inputs: Sequence[CompressorInput],
    *,
    batch_tokens: int,
    role: str = COMPRESSOR,
    progress: Progress | None = None,
) -> Tensor:
    """Memories `[texts, memory, dim]` on the CPU, in the order of `inputs`, without dropout."""
    vectors: list[Tensor | None] = [None] * len(inputs)
    with _evaluation_mode(model):
        for batch in batches_by_length([len(item.ids) for item in inputs], batch_tokens):
            found = model.encode(role, [inputs[index] for index in batch]).vectors.cpu()
            for index, vector in zip(batch, found, strict=True):
                vectors[index] = vector
            if progress is not None:
                progress.update(progress.done + sum(len(inputs[index].ids) for index in batch))
    return torch.stack([vector for vector in vectors if vector is not None])


@contextmanager
def _evaluation_mode(model: ClaraModel) -> Iterator[None]:
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


def batches_by_length(lengths: Sequence[int], batch_tokens: int) -> Iterator[list[int]]:
    """Indices in batches of at most `batch_tokens`, padding included; longest first, so that memory peaks at once."""
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda index: (-lengths[index], index)):
        width = lengths[batch[0]] if batch else lengths[index]
        if batch and width * (len(batch) + 1) > batch_tokens:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def _origin(compressor_hash: str, dtype: str, documents: Sequence[Passage]) -> str:
    """Hash of what a shard is made from: a shard of other documents or another compressor is made again."""
    return text_id("\n".join([compressor_hash, dtype, *(passage.document for passage in documents)]))


def _finished(file: Path, origin: str) -> bool:
    card = file.with_suffix(".json")
    if not (file.exists() and card.exists()):
        return False
    said = read_json(card)
    return bool(said.get("origin") == origin and said.get("sha256") == sha256_file(file))
