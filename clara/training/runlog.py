"""The log of a training run: rows for the history, lines for people."""

import json
import sys
import time
from pathlib import Path
from typing import Any

from clara.files import atomic_path


class RunLog:
    """Collects rows and prints progress with rate and remaining time.

    Args:
        label: what is being trained.
        steps: optimizer steps of the whole run.
        quiet: print nothing (other processes than the first).
    """

    def __init__(self, *, label: str, steps: int, quiet: bool = False) -> None:
        self.rows: list[dict[str, Any]] = []
        self.label = label
        self.steps = steps
        self.quiet = quiet
        self.begin(0)

    def begin(self, done: int) -> None:
        """Starts the clock, after `done` steps of an earlier process."""
        self._started = time.monotonic()
        self._done = done

    def add(self, step: int, split: str, numbers: dict[str, float]) -> None:
        """Adds a row and prints it."""
        self.rows.append({"step": step, "split": split, **{k: _shortened(v) for k, v in numbers.items()}})
        rest = ""
        if split == "train":
            each = (time.monotonic() - self._started) / max(step - self._done, 1)
            rest = f", {each:.1f} s a step, {max(self.steps - step, 0) * each / 60:.1f} min left"
        shown = ", ".join(
            f"{name} {value:.4g}"
            for name, value in numbers.items()
            if name not in ("seconds", "learning_rate") and not name.startswith("grad_norm_")
        )
        self.say(f"step {step}/{self.steps} {split}: {shown}{rest}")

    def say(self, text: str) -> None:
        """Prints one line to standard error."""
        if not self.quiet:
            print(f"{self.label}: {text}", file=sys.stderr, flush=True)


def _shortened(value: float) -> float:
    """Eight digits, wherever they begin: more than float32 has, and a small learning rate keeps its own."""
    return float(f"{value:.8g}") if isinstance(value, float) else value


def write_history(path: Path, rows: list[dict[str, Any]]) -> None:
    """Writes rows as JSON lines, without wall times: a history is the same for the same seed."""
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps({key: value for key, value in row.items() if key != "seconds"}) + "\n")
