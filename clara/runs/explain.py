"""What a run will do, why, for how long, and which tables change: `make explain`."""

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from clara.files import parse_json
from clara.progress import duration
from clara.runs.jobs import Job, modules_changed, recorded, settings_changed
from clara.sizing.steps import Size


class Cost(NamedTuple):
    """What a job takes."""

    seconds: float
    gpu_hours: float
    disk_mb: float
    measured: bool
    """By an earlier run of the job, or of others of its rule, and not by the estimate."""


class Explained(NamedTuple):
    """All jobs of one rule that a run would start."""

    rule: str
    jobs: list[Job]
    reasons: list[str]
    costs: list[Cost]


def explain(
    jobs: Sequence[Job], size_of: Callable[[Job], Size], modules_of: Callable[[str], dict[str, str]]
) -> list[Explained]:
    """The jobs by rule, in the order in which they would run.

    Args:
        jobs: what Snakemake would run.
        size_of: the estimate for a job.
        modules_of: module → digest of the present code of a rule.
    """
    rules = list(dict.fromkeys(job.rule for job in jobs))
    found = []
    for rule in rules:
        own = [job for job in jobs if job.rule == rule]
        reasons = [reason for job in own for reason in why(job, modules_of(rule))]
        if missing := [path for job in own for path in job.missing]:
            reasons.append("missing: " + _few(missing))
        found.append(Explained(rule, own, list(dict.fromkeys(reasons)), [cost(job, size_of(job)) for job in own]))
    return found


def why(job: Job, modules: dict[str, str]) -> list[str]:
    """Reasons of a job's own, missing results apart; none where it only follows other jobs."""
    reasons = []
    record = recorded(job)
    if record is not None:
        reasons += settings_changed(job, record)
        changed = modules_changed(record, modules) if record.modules else []
        if job.params_changed and changed:
            reasons.append(f"code changed: {', '.join(changed)}")
    if job.params_changed and not reasons:
        reasons.append("settings or code changed (no record beside the result tells which)")
    inputs = [path for path in job.changed_inputs if path != "list"]
    if inputs and not job.waits:
        reasons.append("newer input: " + _few(inputs))
    if "list" in job.changed_inputs:
        reasons.append("the list of its inputs changed")
    return reasons


def cost(job: Job, size: Size) -> Cost:
    """Time by the median of earlier runs where there are some, else by the estimate."""
    own = Path(job.benchmark)
    seconds = _seconds(own) or [value for path in sorted(own.parent.glob("*.jsonl")) for value in _seconds(path)]
    expected = statistics.median(seconds) if seconds else size.seconds
    return Cost(expected, expected * job.resources["gpu"] / 3600, size.disk_mb, bool(seconds))


def _seconds(path: Path) -> list[float]:
    if not path.is_file():
        return []
    rows = [parse_json(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return [float(row["s"]) for row in rows]


def tables(jobs: Sequence[Job]) -> list[str]:
    """The tables that the run would write."""
    parts = ("/tables/", "/paper/")
    return sorted(
        path for job in jobs for path in job.outputs if path.endswith(".csv") and any(part in path for part in parts)
    )


def totals(explained: Sequence[Explained]) -> Cost:
    """Of all jobs, one after the other."""
    costs = [one for group in explained for one in group.costs]
    return Cost(
        sum(one.seconds for one in costs),
        sum(one.gpu_hours for one in costs),
        sum(one.disk_mb for one in costs),
        all(one.measured for one in costs),
    )


def plain(explained: Sequence[Explained]) -> dict[str, Any]:
    """The same as plain data."""
    groups = [
        {
            "rule": group.rule,
            "jobs": [job.name for job in group.jobs],
            "reasons": group.reasons,
            "seconds": [round(one.seconds, 1) for one in group.costs],
            "gpu_hours": round(sum(one.gpu_hours for one in group.costs), 2),
        }
        for group in explained
    ]
    return {
        "rules": groups,
        "total": totals(explained)._asdict(),
        "tables": tables([job for group in explained for job in group.jobs]),
    }


def text(explained: Sequence[Explained]) -> str:
    """What people read."""
    jobs = [job for group in explained for job in group.jobs]
    if not jobs:
        return "Nothing will run: all results are of these settings and this code."
    lines = []
    for group in explained:
        each = statistics.mean(one.seconds for one in group.costs)
        basis = "measured" if all(one.measured for one in group.costs) else "estimated"
        gpu = sum(one.gpu_hours for one in group.costs)
        number = f"{len(group.jobs)} job{'s' * (len(group.jobs) > 1)}"
        lines.append(
            f"{group.rule:<20}{number:>8}  {duration(each):>11} each ({basis})" + f"  {gpu:.1f} GPU h" * bool(gpu)
        )
        lines += [f"    {reason}" for reason in group.reasons or ["follows the above"]]
    whole = totals(explained)
    lines.append(
        f"In all {len(jobs)} jobs, {duration(whole.seconds)} one after the other, {whole.gpu_hours:.1f} GPU hours, "
        f"about {whole.disk_mb:,.0f} MB of disk."
    )
    written = tables(jobs)
    lines.append(f"Tables written again: {', '.join(written)}" if written else "No table is written.")
    return "\n".join(lines)


def _few(paths: Sequence[str], most: int = 1) -> str:
    rest = len(paths) - most
    return ", ".join(paths[:most]) + (f" and {rest} more" if rest > 0 else "")
