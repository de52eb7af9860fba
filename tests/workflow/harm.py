"""A run that is to be harmed, of configs/ci.yaml: started, watched, and judged by its tables or by its last words."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.workflow.checkout import CI, copy_checkout, environment

RUNNER = "workflow_scripts/run_pipeline.py"
KEPT = (
    "report/tables/*", "paper/*.*", "evaluation/metrics/*.json", "evaluation/predictions/*.jsonl",
    "*/*/adapters.safetensors", "compression/*/*.safetensors",
)  # fmt: skip
LONGEST_SECONDS = 3600
"""A run that takes longer hangs."""
SAME, SENTENCE = "same tables", "one sentence"


class Outcome(NamedTuple):
    """A row of the table."""

    harm: str
    result: str
    """`same tables`, `one sentence`, or what went wrong."""
    detail: str

    @property
    def fine(self) -> bool:
        """Whether the run came out of it as it must."""
        return self.result in (SAME, SENTENCE)


def checkout(folder: Path) -> Path:
    """A new checkout, with room for settings of a harm."""
    copy_checkout(folder)
    (folder / "overlay.yaml").write_text("{}\n")
    return folder


def start(
    folder: Path, before: Callable[[], None] | None = None, targets: Sequence[str] = ()
) -> "subprocess.Popen[str]":
    """A run in a process group of its own; what it says goes to run.txt."""
    with (folder / "run.txt").open("w") as output:
        return subprocess.Popen(
            [sys.executable, RUNNER, *targets, *CI, "overlay.yaml"],
            cwd=folder,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            text=True,
            start_new_session=True,
            preexec_fn=before,
        )


def run(folder: Path, before: Callable[[], None] | None = None, targets: Sequence[str] = ()) -> int:
    """The exit status of a run that is left alone."""
    return status(start(folder, before, targets))


def status(process: "subprocess.Popen[str]") -> int:
    """The exit status of a run; one that hangs is killed, which its last words will not explain."""
    try:
        return process.wait(LONGEST_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return process.wait()


def tables(folder: Path) -> dict[str, bytes]:
    """What must not depend on what happened to a run."""
    results = folder / "results" / "ci"
    return {str(path.relative_to(results)): path.read_bytes() for part in KEPT for path in results.glob(part)}


def say(line: str) -> None:
    """A line of progress."""
    print(line, file=sys.stderr, flush=True)


def judged(harm: str, folder: Path, code: int, reference: dict[str, bytes]) -> Outcome:
    """What came of a run: its files against those of an undisturbed one, or its last words.

    Args:
        reference: path below the results → content.
    """
    said = (folder / "run.txt").read_text(errors="replace")
    reasons = [line for line in said.splitlines() if re.match(r"(logs/.*: )?error: ", line)]
    if code == 0:
        files = {name: folder / "results" / "ci" / name for name in reference}
        differing = sorted(
            name for name, path in files.items() if not path.is_file() or path.read_bytes() != reference[name]
        )
        return Outcome(harm, "WRONG NUMBERS" if differing else SAME, ", ".join(differing[:3]))
    if reasons:
        return Outcome(harm, SENTENCE, reasons[0].split("error: ", 1)[1])
    return Outcome(harm, "NO SENTENCE", (said.strip().splitlines() or ["nothing"])[-1])
