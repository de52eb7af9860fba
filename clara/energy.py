"""Energy of the GPUs that a step held, by the counters that the cards keep themselves (NVML).

A card counts all that it uses, whoever uses it: steps that share it at the same time are told together, and with what
others do on it. A slice of a card (MIG) has no counter, so nothing is told of it. What the processors use is not
counted: where they tell it at all, they tell it to root alone.
"""

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

Reading = dict[str, tuple[float, float]]
"""UUID of a card → seconds since 1970 and joules since its driver was loaded."""


def read() -> Reading:
    """The counters of this machine's cards; empty without NVML, and without a card that counts (older than Volta)."""
    try:
        import pynvml  # a machine without GPUs needs none

        pynvml.nvmlInit()
        try:
            return dict(_counters(pynvml))
        finally:
            pynvml.nvmlShutdown()
    except Exception:  # no package, no library, no driver, or one that fails: nothing is known, and nothing is lost
        return {}


def _counters(nvml: Any) -> Iterator[tuple[str, tuple[float, float]]]:
    for number in range(nvml.nvmlDeviceGetCount()):
        with suppress(nvml.NVMLError):  # a card that does not count
            card = nvml.nvmlDeviceGetHandleByIndex(number)
            joules = nvml.nvmlDeviceGetTotalEnergyConsumption(card) / 1000
            yield plain(nvml.nvmlDeviceGetUUID(card)), (time.time(), joules)


def plain(uuid: object) -> str:
    """A card's UUID as NVML and torch both have it: NVML puts `GPU-` before it."""
    return str(uuid).removeprefix("GPU-")


def spans(before: Mapping[str, tuple[float, float]], after: Mapping[str, tuple[float, float]]) -> dict[str, Any]:
    """UUID → `[begin, end, joules at the begin, joules at the end]` of cards that were read twice."""
    both = [uuid for uuid in after if uuid in before]
    return {uuid: [before[uuid][0], after[uuid][0], before[uuid][1], after[uuid][1]] for uuid in both}


def used(records: Iterable[Mapping[str, list[float]]]) -> float | None:
    """Joules of all cards while any of these steps held them, what several held at once counted once.

    Args:
        records: of each step what `spans` gave. Spans of one card that overlap in time are one, from the first reading
            to the last; one whose counter went back, because the driver was loaded anew meanwhile, is left out.

    Returns:
        None where no step has any.
    """
    by_card: dict[str, list[list[float]]] = defaultdict(list)
    for record in records:
        for uuid, span in record.items():
            by_card[uuid].append(span)
    whole = [_joules(sorted(found)) for found in by_card.values()]
    return sum(whole) if whole else None


def _joules(found: list[list[float]]) -> float:
    """Of one card; `found` by begin."""
    merged: list[list[float]] = []
    for begin, end, first, last in found:
        if last < first:
            continue
        held = merged[-1] if merged else None
        if held and begin <= held[1] and first >= held[2]:
            held[1], held[3] = max(held[1], end), max(held[3], last)
        else:
            merged.append([begin, end, first, last])
    return sum(last - first for _, _, first, last in merged)
