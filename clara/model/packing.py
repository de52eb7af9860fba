"""How memories are kept on disk: as they are, as int8 with one scale a vector, or as int4 with one a group."""

from typing import Literal, get_args

import torch
from torch import Tensor

StoreType = Literal["float32", "bfloat16", "int8", "int4"]
STORE_TYPES: tuple[StoreType, ...] = get_args(StoreType)
GROUP = 32
"""Numbers of a vector that share one scale in int4."""


def pack(memories: Tensor, dtype: StoreType) -> dict[str, Tensor]:
    """The tensors that a shard file holds for memories `[documents, memory, dim]`.

    int8: x ≈ s q with s = max |x| / 127 over the vector. int4: the same with 7 over groups of 32 numbers, two numbers a
    byte, the first in the low half; a last group that is not full is filled with zeros.
    """
    if dtype in ("float32", "bfloat16"):
        return {"memories": memories.to(getattr(torch, dtype)).contiguous()}
    values = memories.float()
    if dtype == "int8":
        scales = values.abs().amax(-1) / 127
        numbers = (values / scales.clamp(min=1e-12)[..., None]).round().to(torch.int8)
        return {"memories": numbers.contiguous(), "scales": scales.contiguous()}
    values = _groups(torch.nn.functional.pad(values, (0, -values.shape[-1] % GROUP)))
    scales = (values.abs().amax(-1) / 7).half()
    numbers = (values / scales.float().clamp(min=1e-12)[..., None]).round().clamp(-8, 7).to(torch.int8).flatten(-2) + 8
    low, high = numbers[..., 0::2].to(torch.uint8), numbers[..., 1::2].to(torch.uint8)
    return {"memories": (low | (high << 4)).contiguous(), "scales": scales.contiguous()}


def unpack(packed: dict[str, Tensor], dim: int) -> Tensor:
    """The memories that `pack` packed: bfloat16 where they are kept so, else float32."""
    numbers = packed["memories"]
    if numbers.dtype == torch.int8:
        return numbers.float() * packed["scales"][..., None]
    if numbers.dtype != torch.uint8:
        return numbers
    pairs = torch.stack([numbers & 15, numbers >> 4], dim=-1).flatten(-2).float() - 8
    values = _groups(pairs) * packed["scales"].float()[..., None]
    return values.flatten(-2)[..., :dim]


def _groups(values: Tensor) -> Tensor:
    return values.reshape(*values.shape[:-1], -1, GROUP)


def bytes_per_document(num_memory: int, dim: int, dtype: StoreType) -> int:
    """Size of one document's memories in a store."""
    groups = -(-dim // GROUP)
    vector = {"float32": 4 * dim, "bfloat16": 2 * dim, "int8": dim + 4, "int4": groups * (GROUP // 2 + 2)}
    return num_memory * vector[dtype]
