"""What a run did, for how long, and on what: the last lines of a run."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from clara.environment import processor
from clara.files import parse_json
from clara.progress import duration


class Ran(NamedTuple):
    """The jobs of one rule."""

    rule: str
    seconds: list[float]
    peak_mb: float
    """Resident memory of the largest job."""


def ran(benchmarks: Path, since: float) -> list[Ran]:
    """What the benchmark files that were written after `since` tell; the rule is the first part of their path."""
    found: dict[str, Ran] = {}
    for path in sorted(benchmarks.rglob("*.jsonl"), key=lambda path: path.stat().st_mtime):
        if path.stat().st_mtime < since:
            continue
        rule = path.relative_to(benchmarks).with_suffix("").parts[0]
        rows: list[dict[str, Any]] = [
            parse_json(line) for line in path.read_text(encoding="utf-8").splitlines() if line
        ]
        peaks = [float(row.get("max_rss") or 0) for row in rows if isinstance(row.get("max_rss"), int | float)]
        before = found.get(rule, Ran(rule, [], 0.0))
        seconds = [*before.seconds, *(float(row["s"]) for row in rows)]
        found[rule] = Ran(rule, seconds, max([before.peak_mb, *peaks]))
    return list(found.values())


def text(found: Sequence[Ran], wall_seconds: float) -> str:
    """A table, and a line on the whole; empty where nothing ran."""
    if not found:
        return ""
    lines = [
        f"  {one.rule:<20}{len(one.seconds):>3} x {duration(sum(one.seconds) / len(one.seconds)):>11}"
        f"{one.peak_mb:>9,.0f} MB at most"
        for one in found
    ]
    jobs, work = sum(len(one.seconds) for one in found), sum(sum(one.seconds) for one in found)
    machine = f"{os.cpu_count()} cores of {processor()}"
    lines.append(f"{jobs} jobs, {duration(work)} of work in {duration(wall_seconds)}; Snakemake on {machine}")
    return "\n".join(lines)
