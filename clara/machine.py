"""What this machine can do: the precision in which its processor computes, the memory that its programs may have."""

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
CGROUPS = Path("/proc/self/cgroup")
CGROUP_FILES = Path("/sys/fs/cgroup")
INSTRUCTIONS = {
    "bfloat16": frozenset({"avx512_bf16", "amx_bf16", "bf16"}),
    "float16": frozenset({"avx512_fp16", "amx_fp16"}),
}
"""Precision → the flags of x86 and ARM processors, each of which says that it multiplies matrices in it."""


def arithmetic(dtype: str) -> str:
    """The precision of arithmetic on the CPU: `dtype`, or float32 where its products have no instructions.

    On processors with AVX2 alone torch multiplies element by element then: products of a
    backbone's shapes took 56 times as long as in float32 (docs/experiments.md, 2026-11-28). With AVX512 and no
    instructions for `dtype` they are emulated, which has not been measured. float32 holds every value of either type,
    so nothing is rounded more than was asked for.
    """
    wanted = INSTRUCTIONS.get(dtype)
    return dtype if wanted is None or wanted & _flags() else "float32"


def memory_bytes() -> int:
    """The machine's memory, or what the process's control groups leave of it: a container's, a batch job's."""
    return min([os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), *_limits()])


def runs(process: int) -> bool:
    """Whether a process of this machine has this number."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):  # another user's; no number that a system gives
        return True
    return True


@cache
def _flags() -> frozenset[str]:
    """What Linux says of the first processor; of other systems nothing is known, which costs memory, not results."""
    lines = _lines(CPUINFO)
    named = (line.partition(":")[2] for line in lines if line.partition(":")[0].strip() in ("flags", "Features"))
    return frozenset(next(named, "").split())


def _limits() -> Iterator[int]:
    """Bytes that each control group above the process may have, of either version; of one without a limit nothing."""
    for line in _lines(CGROUPS):
        _, controllers, place = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        top = CGROUP_FILES / controllers
        name = "memory.limit_in_bytes" if controllers else "memory.max"
        folder = top / place.strip("/")
        for above in (folder, *folder.parents):
            if above.is_relative_to(top):
                yield from (int(text) for text in _lines(above / name) if text.isdigit())


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
