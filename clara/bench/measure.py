"""Measuring a pair of paths that do the same work: FLOPs, which noise cannot touch, and seconds, pair by pair."""

import resource
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count


@dataclass(frozen=True)
class Work:
    """One piece of work, done by the plain path and by ours on the same inputs."""

    name: str
    items: int
    unit: str
    """Name of an item."""
    plain: Callable[[], Any]
    ours: Callable[[], Any]
    flops_at_least: float
    """Least ratio of FLOPs, plain to ours, that is accepted."""
    seconds_at_least: float
    """The same of seconds on a CPU."""
    difference: Callable[[Any, Any], float]
    """How far the two results are apart; says nothing of cost, but that the work is the same."""


@dataclass(frozen=True)
class Measured:
    """What a work cost; FLOPs and seconds of all its items together."""

    name: str
    items: int
    unit: str
    plain_flops: int
    our_flops: int
    flops_ratio: float
    flops_at_least: float
    plain_seconds: list[float]
    our_seconds: list[float]
    seconds_ratio: float
    """Median over the rounds of the ratio within a round."""
    seconds_at_least: float
    difference: float
    plain_peak_bytes: int
    our_peak_bytes: int
    """Memory at most while it ran, see `peak_memory`."""


def flops(work: Callable[[], Any]) -> int:
    """Floating point operations of matrix products and attention in `work`, backward passes included."""
    with FlopCounterMode(display=False, custom_mapping=ALSO_COUNTED) as counter:
        work()
    return int(counter.get_total_flops())


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """Wall-clock seconds of `work`, and its result."""
    _wait()
    started = time.perf_counter()
    result = work()
    _wait()
    return time.perf_counter() - started, result


def _added(added: Any, one: Any, other: Any, **_: Any) -> int:
    rows, inner = one
    return 2 * int(rows) * int(inner) * int(other[1])


def _attention(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    return int(sdpa_flop_count(query, key, value))  # type: ignore[no-untyped-call]


def _attention_backward(grad: Any, query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    return int(sdpa_backward_flop_count(grad, query, key, value))  # type: ignore[no-untyped-call]


ALSO_COUNTED = {
    torch.ops.aten.addmm_: _added,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}
"""What torch's counter passes over, by shapes: products added in place, attention as a CPU's fused kernel does it."""


@dataclass
class Peak:
    """The most memory that was held while a block ran."""

    bytes: int = 0


@contextmanager
def peak_memory() -> Iterator[Peak]:
    """Measures a block: allocated memory of the GPU, on a CPU resident memory of this process, weights included."""
    found = Peak()
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        yield found
        found.bytes = torch.cuda.max_memory_allocated()
        return
    marks = Path("/proc/self/clear_refs")
    try:
        marks.write_text("5")  # Linux: the highest mark becomes what is held now
    except OSError:
        pass  # the mark is then that of the whole process
    yield found
    status = Path("/proc/self/status")
    lines = status.read_text("utf-8").splitlines() if status.exists() else []
    highest = [int(line.split()[1]) for line in lines if line.startswith("VmHWM")]
    found.bytes = 1024 * (highest or [resource.getrusage(resource.RUSAGE_SELF).ru_maxrss])[0]


def profile_of(work: Callable[[], Any], *, rows: int = 25) -> str:
    """Where the time of `work` goes, by kernel: the dearest first."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    if torch.cuda.is_available():
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    with torch.profiler.profile(activities=activities) as found:
        work()
    order = "self_cuda_time_total" if torch.cuda.is_available() else "self_cpu_time_total"
    table: str = found.key_averages().table(sort_by=order, row_limit=rows)
    return table


def measure(work: Work, *, rounds: int) -> Measured:
    """FLOPs once, then `rounds` pairs of timings; every second pair is taken the other way round."""
    our_flops, plain_flops = flops(work.ours), flops(work.plain)  # also the warm-up
    ours: list[float] = []
    plain: list[float] = []
    apart = 0.0
    peaks = {"plain": 0, "ours": 0}
    for number in range(rounds):
        order = ("plain", "ours") if number % 2 == 0 else ("ours", "plain")
        taken = {}
        for name in order:
            with peak_memory() as memory:
                taken[name] = seconds(getattr(work, name))
            peaks[name] = max(peaks[name], memory.bytes)
        plain.append(taken["plain"][0])
        ours.append(taken["ours"][0])
        apart = work.difference(taken["plain"][1], taken["ours"][1])
    return Measured(
        name=work.name,
        items=work.items,
        unit=work.unit,
        plain_flops=plain_flops,
        our_flops=our_flops,
        flops_ratio=plain_flops / our_flops,
        flops_at_least=work.flops_at_least,
        plain_seconds=plain,
        our_seconds=ours,
        seconds_ratio=statistics.median(slow / fast for slow, fast in zip(plain, ours, strict=True)),
        seconds_at_least=work.seconds_at_least,
        difference=apart,
        plain_peak_bytes=peaks["plain"],
        our_peak_bytes=peaks["ours"],
    )


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
