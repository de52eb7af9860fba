"""What a run cost: time and memory of its programs, from the records beside its results."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from clara import energy

CPU = "cpu"


class Cost(NamedTuple):
    """All runs of one program on one kind of device."""

    program: str
    device: str
    results: int
    """Results that it left, one a run."""
    seconds: float
    """Of the processes that finished them, and of the attempts that ended before."""
    longest: float
    """Of a process that finished."""
    attempts: int
    """Attempts that ended early: killed, failed, preempted, out of time or of memory."""
    early_seconds: float
    """Of these attempts; the part of their work that was saved is not lost."""
    lost_steps: int
    """Steps of training after their last saved states, done again."""
    peak_memory_mib: int
    """Of the largest process."""

    gpu_hours: float
    """Hours times GPUs held; 0 on a CPU, one GPU where a record does not say how many."""


def read_costs(folder: Path) -> list[Cost]:
    """What every program of a run took, the dearest first.

    Args:
        folder: `results/{run}`; records that are missing or say no time are left out.
    """
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for record in _records(folder):
        command, device = record.get("command") or ["?"], str(record.get("device", CPU))
        groups.setdefault((Path(str(command[0])).stem, device), []).append(record)
    costs = [_sum(*key, records) for key, records in groups.items()]
    return sorted(costs, key=lambda cost: (-cost.seconds, cost.program, cost.device))


def read_energy(folder: Path) -> float | None:
    """Kilowatt-hours of the GPUs that steps of a run held, while they did; None where no record tells.

    Killed attempts are not in it.

    Args:
        folder: `results/{run}`.
    """
    joules = energy.used(record["energy"] for record in _records(folder) if "energy" in record)
    return None if joules is None else joules / 3.6e6


def _sum(program: str, device: str, records: list[dict[str, Any]]) -> Cost:
    seconds = [float(record["wall_seconds"]) for record in records]
    held = 0.0 if device == CPU else sum(_seconds(record) * max(1, int(record.get("gpus", 1))) for record in records)
    memory = max(int(record.get("peak_memory_mib", 0)) for record in records)
    early = [attempt for record in records for attempt in record.get("earlier_attempts") or []]
    before = sum(float(attempt.get("seconds") or 0) for attempt in early)
    lost = sum(int(attempt.get("lost_steps") or 0) for attempt in early)
    whole = sum(seconds) + before
    return Cost(program, device, len(records), whole, max(seconds), len(early), before, lost, memory, held / 3600)


def _seconds(record: dict[str, Any]) -> float:
    """Of the process and of the attempts before it."""
    early = record.get("earlier_attempts") or []
    return float(record["wall_seconds"]) + sum(float(attempt.get("seconds") or 0) for attempt in early)


def _records(folder: Path) -> Iterator[dict[str, Any]]:
    """The records of the run's results, without those of the report, which is not finished yet."""
    for path in sorted(folder.rglob("*.json")):
        inside = path.relative_to(folder).parts
        if inside[0] == "report" or not (path.name == "environment.json" or "provenance" in inside[:-1]):
            continue
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):  # a record explains a result; a report is made without it
            continue
        if isinstance(content, dict) and isinstance(content.get("wall_seconds"), int | float):
            yield content
