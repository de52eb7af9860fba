"""A run's results as a small folder to keep under version control: tables, figures, curves, and what made them."""

import csv
import shutil
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from clara.errors import DataError
from clara.evaluation.results import read_histories
from clara.files import atomic_path, read_json, write_text

KEPT = (
    "report/tables/*.csv", "report/tables/*.md", "report/figures/*.svg", "paper/*.csv", "paper/*.md", "figures/*.svg",
)  # fmt: skip
"""Below a run's folder; what a run does not have is left out."""
ENVIRONMENTS = ("*/*/environment.json", "**/provenance/*.json")


def record_run(run: Path, target: Path, *, command: str) -> list[str]:
    """Copies a finished run's tables and figures to `target`, with `curves.csv` and `run.md`; gives the files' names.

    Args:
        run: `results/NAME`.
        target: a folder for this run alone; what it holds of an earlier record is replaced.
        command: that made the run.

    Raises:
        DataError: the run has no report yet.
    """
    if not (run / "report" / "index.html").exists():
        raise DataError(f"{run} has no report/index.html, so it is not finished; run it to the end first")
    files = [path for pattern in KEPT for path in sorted(run.glob(pattern))]
    target.mkdir(parents=True, exist_ok=True)
    for path in files:
        with atomic_path(target / path.name) as temporary:
            shutil.copyfile(path, temporary)
    _write_curves(target / "curves.csv", sorted(run.glob("*/*/history.jsonl")))
    environments = [read_json(path) for pattern in ENVIRONMENTS for path in sorted(run.glob(pattern))]
    write_text(target / "run.md", describe(environments, command=command))
    return [*(path.name for path in files), "curves.csv", "run.md"]


def describe(environments: Iterable[dict[str, Any]], *, command: str) -> str:
    """What the environments of a run's steps say of it, as Markdown.

    The time between the first step's start and the last one's end counts pauses and whatever else the machine did.
    """
    rows = [row for row in environments if row.get("finished")]
    ends = [datetime.fromisoformat(row["finished"]) for row in rows]
    starts = [end - timedelta(seconds=row["wall_seconds"]) for end, row in zip(ends, rows, strict=True)]
    machines = sorted({f"{row['processor']}, {row['device']}" for row in rows})
    commits = sorted({str(row["commit"]) for row in rows})
    seeds = sorted({str(row["seed"]) for row in rows if row.get("seed") is not None})
    facts = {
        "Command": f"`{command}`",
        "Commit": ", ".join(commits),
        "Date": f"{min(starts):%Y-%m-%d %H:%M} to {max(ends):%Y-%m-%d %H:%M} UTC",
        "Duration": f"{_clock(max(ends) - min(starts))} from first to last step",
        "Sum of the steps' times": _clock(timedelta(seconds=sum(row["wall_seconds"] for row in rows))),
        "Machine": "; ".join(machines),
        "Largest memory of a step": f"{max(row['peak_memory_mib'] for row in rows):,} MiB",
        "Seed": ", ".join(seeds),
    }
    return "".join(["| | |\n|---|---|\n", *(f"| {name} | {value} |\n" for name, value in facts.items())])


def _write_curves(target: Path, histories: list[Path]) -> None:
    with atomic_path(target) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("stage", "checkpoint", "split", "step", "loss"))
        for path, history in ((path, read_histories([path])[0]) for path in histories):
            writer.writerows((path.parts[-3], path.parts[-2], row.split, row.step, row.loss) for row in history.points)


def _clock(time: timedelta) -> str:
    """Hours, minutes and seconds."""
    seconds = round(time.total_seconds())
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
