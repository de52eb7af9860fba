"""Weights of a checkpoint in four or eight bits, for folders that are passed on; read back as float32.

Groups of 32 numbers of an adapter's matrix share a scale. The query reasoner, which starts as the compressor, is kept
as the difference from it. Other parameters are bfloat16, single numbers float32.
"""

import json
import math
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from clara.errors import CheckpointError
from clara.model.adapters import COMPRESSOR, QUERY_REASONER

GROUP = 32
BITS = (4, 8)
LAYOUT = "clara.packed"
"""Key of the file's metadata; its value is JSON: `bits` and the `shapes` of what is packed."""
CODES, SCALES = ".codes", ".scales"


class Packed(NamedTuple):
    """What goes into the file."""

    tensors: dict[str, Tensor]
    metadata: dict[str, str]


def pack(tensors: dict[str, Tensor], bits: int) -> Packed:
    """Packs a checkpoint's float32 tensors; a reasoner's tensor that equals the compressor's is left out.

    Raises:
        CheckpointError: `bits` is not one of `BITS`.
    """
    if bits not in BITS:
        raise CheckpointError(f"weights are packed in {' or '.join(map(str, BITS))} bits, not {bits}")
    kept: dict[str, Tensor] = {}
    shapes: dict[str, list[int]] = {}
    read: dict[str, Tensor] = {}  # as it will be read back
    for key in sorted(tensors):  # the compressor comes before the query reasoner
        origin = read.get(_origin(key))
        value = tensors[key] if origin is None else tensors[key] - origin
        if origin is not None and torch.equal(tensors[key], tensors[_origin(key)]):
            continue
        shapes[key] = list(value.shape)
        if ".adapter." in key:
            codes, scales = _quantised(value, bits)
            kept[key + CODES], kept[key + SCALES] = codes, scales
            read[key] = _restored(codes, scales, bits, shapes[key])
        else:
            kept[key] = value.to(torch.bfloat16) if value.ndim else value
            read[key] = kept[key].float()
    return Packed(kept, {LAYOUT: json.dumps({"bits": bits, "shapes": shapes, "all": sorted(tensors)})})


def write(tensors: dict[str, Tensor], path: Path, bits: int) -> None:
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
    return unpack(Packed(tensors, metadata), path) if LAYOUT in metadata else tensors


def unpack(packed: Packed, path: Path) -> dict[str, Tensor]:
    """What `pack` was given, rounded.

    Raises:
        CheckpointError: the layout is unknown or parts are missing.
    """
    try:
        layout = json.loads(packed.metadata[LAYOUT])
        found: dict[str, Tensor] = {}
        for key in layout["all"]:
            origin = found.get(_origin(key))
            shape = layout["shapes"].get(key)
            if shape is None and origin is not None:
                found[key] = origin.clone()
                continue
            if key + CODES in packed.tensors:
                codes, scales = packed.tensors[key + CODES], packed.tensors[key + SCALES]
                value = _restored(codes, scales, layout["bits"], shape)
            else:
                value = packed.tensors[key].float()
            found[key] = value if origin is None else origin + value
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"{path} is packed in a way that cannot be read ({error!r}); fetch the file again"
        ) from error
    return found


def _origin(key: str) -> str:
    """The compressor's tensor from which a query reasoner's is told; nothing's for other roles."""
    return key.replace(QUERY_REASONER, COMPRESSOR, 1) if key.startswith(f"{QUERY_REASONER}.") else ""


def _quantised(value: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """Codes, two a byte for four bits, and a bfloat16 scale a group."""
    most = 2 ** (bits - 1) - 1
    flat = value.float().flatten()
    flat = torch.nn.functional.pad(flat, (0, -flat.numel() % GROUP)).view(-1, GROUP)
    scales = (flat.abs().amax(1) / most).bfloat16()
    # A group of zeros has the scale 0 and is read as zeros.
    steps = torch.where(scales > 0, scales.float(), torch.inf)[:, None]
    codes = (flat / steps).round().clamp(-most, most).to(torch.int8).flatten()
    if bits == BITS[0]:
        nibbles = (codes + 8).to(torch.uint8)
        codes = nibbles[::2] | (nibbles[1::2] << 4)
    return codes, scales


def _restored(codes: Tensor, scales: Tensor, bits: int, shape: list[int]) -> Tensor:
    if bits == BITS[0]:
        codes = torch.stack([codes & 15, codes >> 4], 1).flatten().to(torch.int8) - 8
    numbers = codes.float().view(-1, GROUP) * scales.float()[:, None]
    return numbers.flatten()[: math.prod(shape)].view(shape)
