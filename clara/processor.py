"""In which precision this machine's processor computes what is asked for in half precision."""

from functools import cache
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
INSTRUCTIONS = {
    "bfloat16": frozenset({"avx512_bf16", "amx_bf16", "bf16"}),
    "float16": frozenset({"avx512_fp16", "amx_fp16"}),
}
"""Precision → the flags of x86 and ARM processors, each of which says that it multiplies matrices in it."""


def arithmetic(dtype: str) -> str:
    """The precision of arithmetic on the CPU: `dtype`, or float32 where its products have no instructions.

    Without them torch multiplies element by element: products of a backbone's shapes took 56 times as long as in
    float32 on an AMD EPYC with AVX2 (docs/experiments.md), and most laptops are of that kind. float32 holds every value
    of either type, so nothing is rounded more than was asked for.
    """
    wanted = INSTRUCTIONS.get(dtype)
    return dtype if wanted is None or wanted & _flags() else "float32"


@cache
def _flags() -> frozenset[str]:
    """What Linux says of the first processor; of other systems nothing is known, which costs memory, not results."""
    try:
        lines = CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return frozenset()
    named = (line.partition(":")[2] for line in lines if line.partition(":")[0].strip() in ("flags", "Features"))
    return frozenset(next(named, "").split())
