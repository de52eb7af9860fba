"""Weights of a checkpoint as a few megabytes, for folders that are passed on; read back as float32.

An adapter adds B A to a layer's weight, and only the product counts. It is kept by its singular vectors in whole steps
(`clara/model/factors.py`), one step for all layers of an adapter, and LZMA stores the many zeros in almost nothing.

The query reasoner starts as the compressor and stays near it. Their mean and their difference are kept as one product
with common right vectors, the difference in finer steps: rounded apart, the little that the reasoner learned would be
lost. Other parameters are bfloat16, single numbers float32.
"""

import json
import lzma
from collections.abc import Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from clara.errors import CheckpointError
from clara.model.adapters import COMPRESSOR, QUERY_REASONER
from clara.model.factors import Product, inner, off, product, step_for

BITS = range(1, 9)
"""Precisions on offer: the update of a layer is off by 2^-bits of its size."""
LAYOUT = "clara.packed.2"
"""Key of the file's metadata; its value is JSON: `bits`, the `blocks` and the names of `all` tensors."""
BOTH = "compressor and query_reasoner"
FINER = 4.0
"""So much finer are the steps of the difference of compressor and query reasoner."""
CODES, SIZES = "codes of ", "sizes of "
FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9, "lc": 0, "lp": 0, "pb": 0}]
"""For bytes whose position among others tells nothing."""

Layers = dict[str, tuple[Tensor, Tensor]]
"""Layer → its B, out x rank, and A, rank x in."""


class Packed(NamedTuple):
    """What goes into the file."""

    tensors: dict[str, Tensor]
    metadata: dict[str, str]


def pack(tensors: Mapping[str, Tensor], bits: int) -> Packed:
    """Packs a checkpoint's float32 tensors; what equals the compressor's is left out.

    Raises:
        CheckpointError: `bits` is not one of `BITS`.
    """
    if bits not in BITS:
        raise CheckpointError(f"weights are packed in {BITS[0]} to {BITS[-1]} bits, not {bits}")
    kept: dict[str, Tensor] = {}
    blocks: dict[str, Any] = {}
    for name, products in _blocks(_adapters(tensors), 2.0**-bits).items():
        step = step_for(products.values(), 2.0**-bits)
        codes = _codes({layer: each.rounded(step) for layer, each in products.items()})
        coded = lzma.compress(codes.numpy().tobytes(), lzma.FORMAT_RAW, filters=FILTERS)
        kept[CODES + name] = torch.from_numpy(np.frombuffer(coded, np.uint8).copy())
        kept[SIZES + name] = torch.stack([each.sizes for each in products.values()]).bfloat16()
        shapes = [[layer, len(each.left), len(each.right)] for layer, each in products.items()]
        blocks[name] = {"step": step, "type": str(codes.numpy().dtype), "layers": shapes}
    for key, value in tensors.items():
        origin = tensors.get(key.replace(QUERY_REASONER, COMPRESSOR, 1))
        same = key.startswith(f"{QUERY_REASONER}.") and origin is not None and torch.equal(value, origin)
        if ".adapter." not in key and not same:
            kept[key] = value.to(torch.bfloat16) if value.ndim else value
    return Packed(kept, {LAYOUT: json.dumps({"bits": bits, "blocks": blocks, "all": sorted(tensors)})})


def write(tensors: Mapping[str, Tensor], path: Path, bits: int) -> None:
    """Packs `tensors` into the file `path`."""
    packed = pack(tensors, bits)
    save_file(packed.tensors, path, metadata=packed.metadata)


def read(path: Path) -> dict[str, Tensor]:
    """The float32 tensors of a checkpoint's weights, packed or not.

    Raises:
        CheckpointError: the file is packed in a way that this version does not know.
    """
    with safe_open(path, "pt") as file:
        metadata = file.metadata() or {}
    tensors: dict[str, Tensor] = load_file(path)
    packed = any(key.startswith("clara.packed") for key in metadata)
    return unpack(Packed(tensors, metadata), path) if packed else tensors


class Errors(NamedTuple):
    """What packing took from a checkpoint, each relative to the size of what it was."""

    updates: float
    """The layers' updates B A, of all adapters."""
    learned: float
    """The updates' differences between query reasoner and compressor; 0 where there are none."""


def errors(true: Mapping[str, Tensor], read: Mapping[str, Tensor]) -> Errors:
    """How far the adapters of `read` are from those of `true`."""
    before, after = _adapters(true), _adapters(read)
    pairs = [(sides, after[role][layer]) for role, layers in before.items() for layer, sides in layers.items()]
    if COMPRESSOR not in before or QUERY_REASONER not in before:
        return Errors(_relative(pairs), 0.0)
    moved = [(_learned(before, layer), _learned(after, layer)) for layer in before[COMPRESSOR]]
    return Errors(_relative(pairs), _relative(moved))


def _relative(pairs: list[tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]]) -> float:
    size = sum(inner(true, true) for true, _ in pairs)
    return float((sum(off(*pair) for pair in pairs) / size) ** 0.5) if size else 0.0


def _learned(adapters: dict[str, Layers], layer: str) -> tuple[Tensor, Tensor]:
    """B and A of a layer's query reasoner minus compressor."""
    (d, c), (b, a) = adapters[QUERY_REASONER][layer], adapters[COMPRESSOR][layer]
    return torch.cat([d, -b], 1), torch.cat([c, a])


def unpack(packed: Packed, path: Path) -> dict[str, Tensor]:
    """What `pack` was given, rounded.

    Raises:
        CheckpointError: the layout is unknown or parts are missing.
    """
    try:
        layout = json.loads(packed.metadata[LAYOUT])
        found: dict[str, Tensor] = {}
        for name, block in layout["blocks"].items():
            products = _products(block, packed.tensors[CODES + name], packed.tensors[SIZES + name].float())
            for layer, (b, a) in products.items():
                for role, part in _parts(name, b).items():
                    found |= {f"{role}.adapter.{layer}.A": a.clone(), f"{role}.adapter.{layer}.B": part}
        for key in layout["all"]:
            if key not in found:
                origin = key.replace(QUERY_REASONER, COMPRESSOR, 1)
                found[key] = packed.tensors[key if key in packed.tensors else origin].float().clone()
        return {key: found[key] for key in layout["all"]}
    except (KeyError, TypeError, ValueError, RuntimeError, lzma.LZMAError) as error:
        raise CheckpointError(
            f"{path} is packed in a way that cannot be read ({error!r}); fetch the file again, or export it anew"
        ) from error


def _adapters(tensors: Mapping[str, Tensor]) -> dict[str, Layers]:
    found: dict[str, Layers] = {}
    for key in sorted(tensors):
        role, adapter, name = key.partition(".adapter.")
        if adapter and name.endswith(".A"):
            layer = name.removesuffix(".A")
            found.setdefault(role, {})[layer] = (tensors[f"{role}{adapter}{layer}.B"], tensors[key])
    return found


def _blocks(adapters: dict[str, Layers], error: float) -> dict[str, dict[str, Product]]:
    """What is rounded with one step: each adapter, or compressor and query reasoner over one common A."""
    blocks = {role: {layer: product(*sides) for layer, sides in layers.items()} for role, layers in adapters.items()}
    if COMPRESSOR in adapters and QUERY_REASONER in adapters:
        compressor, reasoner = (adapters[role] for role in (COMPRESSOR, QUERY_REASONER))
        whole = {layer: _both(compressor[layer], reasoner[layer]) for layer in compressor}
        both = {layer: each.first(len(compressor[layer][1])) for layer, each in whole.items()}
        kept, size = (sum(float(each.sizes.square().sum()) for each in layers.values()) for layers in (both, whole))
        if size - kept <= (error / 2) ** 2 * size:
            return {BOTH: both} | {role: blocks[role] for role in blocks if role not in (COMPRESSOR, QUERY_REASONER)}
    return blocks


def _both(compressor: tuple[Tensor, Tensor], reasoner: tuple[Tensor, Tensor]) -> Product:
    """The mean of two products over their difference, as one product of twice as many vectors."""
    (b, a), (d, c) = compressor, reasoner
    left = torch.cat([torch.cat([b / 2, d / 2], 1), FINER * torch.cat([-b, d], 1)])
    return product(left, torch.cat([a, c]))


def _parts(name: str, b: Tensor) -> dict[str, Tensor]:
    """Role → its B, from that of a block."""
    if name != BOTH:
        return {name: b}
    mean, difference = b.chunk(2)
    return {COMPRESSOR: mean - difference / (2 * FINER), QUERY_REASONER: mean + difference / (2 * FINER)}


def _codes(products: dict[str, Product]) -> Tensor:
    """Whole numbers, all layers' first vectors before all second ones: numbers of one size stand together."""
    sides = [side for each in products.values() for side in each[:2]]
    numbers = torch.cat([side[:, rank] for rank in range(sides[0].shape[1]) for side in sides])
    return numbers.to(torch.int8 if numbers.abs().max() < 128 else torch.int16)


def _products(block: dict[str, Any], codes: Tensor, sizes: Tensor) -> Layers:
    """Layer → B and A, from what `pack` made of them."""
    plain = lzma.decompress(codes.numpy().tobytes(), lzma.FORMAT_RAW, filters=FILTERS)
    numbers = torch.from_numpy(np.frombuffer(plain, block["type"]).astype(np.float32))
    lengths = [length for _, *sides in block["layers"] for length in sides]
    rows = numbers.view(sizes.shape[1], sum(lengths))
    columns = [rows[:, end - length : end] for length, end in zip(lengths, accumulate(lengths), strict=True)]
    found = Layers()
    for at, (layer, *_) in enumerate(block["layers"]):
        whole = Product(columns[2 * at].T, columns[2 * at + 1].T, sizes[at])
        left, right, _ = whole.restored(block["step"])
        found[layer] = (left.contiguous(), right.T.contiguous())
    return found
