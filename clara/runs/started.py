"""On which machine the run of a folder was started: from another one its process cannot be seen."""

import json
import os
import socket
from pathlib import Path

FILE = Path(".snakemake") / "clara.run.json"
"""Beside Snakemake's lock, which does not say whose it is."""


def record(folder: Path) -> None:
    """Leaves this machine's name and this process's number in `folder`."""
    path = folder / FILE
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"host": socket.gethostname(), "process": os.getpid()}), encoding="utf-8")


def elsewhere(folder: Path) -> str | None:
    """`process N on HOST` where the last run of `folder` was started on another machine; else null."""
    try:
        found = json.loads((folder / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):  # of a run that began before there were such files; cut short by a crash
        return None
    return None if found["host"] == socket.gethostname() else f"process {found['process']} on {found['host']}"
