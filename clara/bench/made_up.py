"""Stores of made-up documents: large enough to measure a search, without compressing anything."""

from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from clara.files import atomic_path, sha256_file
from clara.model.packing import StoreType, pack
from clara.model.store import DOCUMENTS, MANIFEST, Manifest, Shard, write_documents, write_manifest
from clara.records import Passage, document_id


def write_store(folder: Path, blocks: Iterable[Tensor], *, dtype: StoreType) -> Path:
    """The manifest of a store of made-up documents whose memories are given, a shard a block, all of one size."""
    shards: list[Shard] = []
    number, shape = 0, (0, 0, 0)
    folder.mkdir(parents=True, exist_ok=True)
    for block in blocks:
        shape = (len(block), block.shape[1], block.shape[2])
        name = f"memories-{len(shards):05d}.safetensors"
        with atomic_path(folder / name) as temporary:
            save_file(pack(block, dtype), temporary)
        shards.append(Shard(name, len(block), sha256_file(folder / name)))
        number += len(block)
    texts = [f"made up {index}" for index in range(number)]
    write_documents(folder / DOCUMENTS, [Passage(id=document_id(text), title="", text=text) for text in texts])
    manifest = Manifest(
        compressor_hash="made up",
        num_documents=number,
        num_memory=shape[1],
        dim=shape[2],
        dtype=dtype,
        documents_sha256=sha256_file(folder / DOCUMENTS),
        shards=shards,
    )
    write_manifest(folder / MANIFEST, manifest)
    return folder / MANIFEST


def mixed(memories: Tensor, count: int, *, seed: int) -> Tensor:
    """Memories of `count` made-up documents: each vector is that of a real document, drawn anew for every place."""
    chance = torch.Generator().manual_seed(seed)
    drawn = torch.randint(len(memories), (count, memories.shape[1]), generator=chance)
    return memories[drawn, torch.arange(memories.shape[1])]
