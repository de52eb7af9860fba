"""A copy of the project in a test's folder, and Snakemake run in it."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.workflow import many_dry_runs
from tests.workflow.many_dry_runs import jobs

ROOT = Path(__file__).resolve().parents[2]
PARTS = (
    "Snakefile", "config.yaml", "configs", "rules", "profiles", "clara", "workflow_scripts", "data", "dvc.yaml", "paper"
)  # fmt: skip
RUNNER = "workflow_scripts/run_pipeline.py"
LOCAL = ("--profile", "profiles/local")
DATA = dict.fromkeys(("CLARA_DATA", "CLARA_CORPUS", "CLARA_BENCHMARKS"), "/data")
"""Environment variables that the shipped configurations read; nothing lies there."""
CI = (*LOCAL, "--configfile", "configs/ci.yaml")


def copy_checkout(folder: Path) -> Path:
    """`folder` with what a run needs, and nothing that a run made."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in PARTS:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    return folder


def environment() -> dict[str, str]:
    """The environment of a user who has set nothing of ours but where the data of the shipped configurations lie."""
    kept = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "SNAKEMAKE_PROFILE")}
    return DATA | kept


def run(folder: Path, *command: str, timeout: float = 600) -> subprocess.CompletedProcess[str]:
    """A Python program run in `folder`, its output as text."""
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def snakemake(folder: Path, *arguments: str, timeout: float = 600) -> subprocess.CompletedProcess[str]:
    """Snakemake run in `folder`."""
    return run(folder, "-m", "snakemake", *arguments, timeout=timeout)


def planned(folder: Path, *arguments: str) -> dict[str, int]:
    """Rule → number of jobs that a run would start, by a dry run; collecting rules left out."""
    done = snakemake(folder, "-n", *arguments)
    assert done.returncode == 0, done.stderr
    return jobs(done.stdout + done.stderr)


def planned_for_each(
    folder: Path, overlays: Sequence[dict[str, Any] | list[str]], *arguments: str
) -> list[dict[str, int]]:
    """The same for each of many mappings laid over the configuration, or lists of further arguments, in one process."""
    (folder / "overlays.json").write_text(json.dumps(overlays))
    done = run(folder, str(Path(many_dry_runs.__file__)), "overlays.json", "plans.json", *arguments)
    assert done.returncode == 0, done.stderr
    plans: list[dict[str, int]] = json.loads((folder / "plans.json").read_text())
    return plans


def pretend_finished(folder: Path, *arguments: str) -> None:
    """Leaves `folder` as a finished run would: every output there, with the settings and code that made it recorded."""
    summary = snakemake(folder, "--summary", *arguments)
    assert summary.returncode == 0, summary.stderr
    for line in summary.stdout.splitlines()[1:]:
        path = folder / line.split("\t")[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{path.name}\n")
    touched = snakemake(folder, "--touch", "--forceall", *arguments)
    assert touched.returncode == 0, touched.stderr
