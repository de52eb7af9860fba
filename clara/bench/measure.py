"""Measuring a pair of paths that do the same work: FLOPs, which noise cannot touch, and seconds, pair by pair."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode


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


def flops(work: Callable[[], Any]) -> int:
    """Floating point operations of matrix products and attention in `work`, backward passes included."""
    with FlopCounterMode(display=False) as counter:
        work()
    return int(counter.get_total_flops())


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """Wall-clock seconds of `work`, and its result."""
    _wait()
    started = time.perf_counter()
    result = work()
    _wait()
    return time.perf_counter() - started, result


def measure(work: Work, *, rounds: int) -> Measured:
    """FLOPs once, then `rounds` pairs of timings; every second pair is taken the other way round."""
    our_flops, plain_flops = flops(work.ours), flops(work.plain)  # also the warm-up
    ours: list[float] = []
    plain: list[float] = []
    apart = 0.0
    for number in range(rounds):
        order = ("plain", "ours") if number % 2 == 0 else ("ours", "plain")
        taken = {name: seconds(getattr(work, name)) for name in order}
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
    )


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
