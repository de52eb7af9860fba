"""GPUs of this machine for jobs that no batch system gives any: a lease on the numbers, so that no two jobs share one.

Snakemake counts GPUs but tells a job on the same machine not which; every job would take the first. A lease is a lock
on a file for each number, which ends with the process, however it ends. Where a profile lets several jobs share a GPU,
as a small model leaves most of one idle, they hold that lock together, and each has one of so many places besides: a
job of another run that shares with none is never beside them.
"""

import fcntl
import itertools
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import MutableMapping, Sequence
from pathlib import Path

from clara.errors import ResourceError

WANTED = "CLARA_GPUS"
"""Environment variable with the number of GPUs that the workflow gave to a job."""
SHARED = "CLARA_GPU_JOBS"
"""Environment variable with how many jobs may share a GPU, as `gpu_jobs` of the profile says; 1 without it."""
HELD = "CLARA_GPUS_HELD"
"""Set once a process holds them: programs that it starts or becomes take no others."""
ALLOCATOR = "PYTORCH_CUDA_ALLOC_CONF"
"""Torch's: where others share a GPU, blocks that grow instead of ever new ones for texts of ever new lengths."""
FOLDER = Path(tempfile.gettempdir()) / "clara-gpus"
_handles: list[int] = []
"""Open for as long as the process runs; a program that takes its place inherits them."""


def take(variables: MutableMapping[str, str], folder: Path = FOLDER) -> None:
    """Waits for as many free GPUs as `CLARA_GPUS` says and makes them the visible ones.

    Nothing happens where the number is 0 or absent, under SLURM, which gives the GPUs itself, or where they are held.

    Raises:
        ResourceError: the machine has fewer.
    """
    count = int(variables.get(WANTED) or 0)
    if count == 0 or HELD in variables or "SLURM_JOB_ID" in variables:
        return
    names = visible(variables)
    if len(names) < count:
        raise ResourceError(
            f"the job was given {count} GPU{'s' * (count > 1)}, but this machine shows {len(names) or 'none'}; ask for "
            "fewer (gpu and node_gpus in the profile), or use --profile profiles/local, which needs none"
        )
    jobs = max(1, int(variables.get(SHARED) or 1))
    taken = _lock(names, count, folder, jobs=jobs)
    variables["CUDA_VISIBLE_DEVICES"] = ",".join(taken)
    variables[HELD] = "1"
    if jobs > 1:
        variables.setdefault(ALLOCATOR, "expandable_segments:True")


def visible(variables: MutableMapping[str, str]) -> list[str]:
    """The GPUs that this process may use, by number or name: those of CUDA_VISIBLE_DEVICES, else all."""
    stated = variables.get("CUDA_VISIBLE_DEVICES")
    if stated is not None:
        return [name.strip() for name in stated.split(",") if name.strip() and name.strip() != "-1"]
    if not shutil.which("nvidia-smi"):
        return []
    command = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False)
    return listed.stdout.split() if listed.returncode == 0 else []


def _lock(names: Sequence[str], count: int, folder: Path, *, jobs: int) -> list[str]:
    """Names of `count` GPUs that this process now holds; all or none, so that two jobs cannot block each other.

    The first place of every GPU comes before the second of any, so that `jobs` that share them spread.
    """
    if not folder.exists():
        folder.mkdir(exist_ok=True)
        folder.chmod(0o1777)  # for all who use the machine
    told = False
    while True:
        held: dict[str, list[int]] = {}
        for job, name in itertools.product(range(jobs), names):
            if len(held) < count and name not in held and (handles := _place(folder, name, job, jobs)):
                held[name] = handles
        if len(held) == count:
            _handles.extend(itertools.chain(*held.values()))
            return list(held)
        for handle in itertools.chain(*held.values()):
            os.close(handle)
        if not told:
            print(f"waits for {count} of the GPUs {', '.join(names)} to be free", file=sys.stderr)
            told = True
        time.sleep(0.2 + 0.3 * random.random())


def _place(folder: Path, name: str, job: int, jobs: int) -> list[int]:
    """Handles of a GPU's lock and, where `jobs` share it, of one of its places; none where others hold either."""
    file = name.replace("/", "_")
    whole = _try(folder / f"{file}.lock", fcntl.LOCK_EX if jobs == 1 else fcntl.LOCK_SH)
    if whole is None or jobs == 1:
        return [] if whole is None else [whole]
    place = _try(folder / f"{file}.{job}.lock", fcntl.LOCK_EX)
    if place is None:
        os.close(whole)
        return []
    return [whole, place]


def _try(path: Path, how: int) -> int | None:
    """An open, locked handle of the file, alone or with others; null where another process stands against it."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        handle = os.open(path, os.O_RDONLY | os.O_CREAT, 0o666)
    try:
        fcntl.flock(handle, how | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    os.set_inheritable(handle, True)
    return handle


def no_memory(error: Exception) -> str | None:
    """The sentence for an error of torch that says that memory did not suffice, a GPU's or the host's; else None.

    By the error's name and its words: torch is not loaded for it, and passes on CUDA's and cuBLAS's errors as they are.
    """
    said = str(error)
    if "DefaultCPUAllocator" in said:
        more = re.search(r"allocate (\d+) bytes", said)
        amount = f": {int(more[1]) / 2**20:,.0f} MiB more were asked for" if more else ""
        return f"the machine's memory did not suffice{amount}; give shorter or fewer texts at once, or more memory"
    of_gpu = type(error).__name__ in ("OutOfMemoryError", "AcceleratorError") or "CUDA" in said
    if not of_gpu or not any(words in said for words in ("out of memory", "CUBLAS_STATUS_ALLOC_FAILED")):
        return None
    amounts = (r"allocate ([\d.]+ \w+)", r"of which ([\d.]+ \w+) is free", r"capacity of ([\d.]+ \w+)")
    found = [re.search(amount, said) for amount in amounts]
    asked, free, all_ = (one[1] if one else "" for one in found)
    own = re.search(r"this process has ([\d.]+ \w+) memory in use", said)
    numbers = f": {asked} more were asked for, {free} of {all_} were free" if asked and free and all_ else ""
    held = f", this job held {own[1]}" if own else ""
    return (
        f"the GPU's memory did not suffice{numbers}{held}; lower micro_batch_size or micro_batch_tokens (a training), "
        "evaluation.generation.batch_size (answers) or compression.batch_tokens, or, where jobs share the GPU, "
        "gpu_mem_mb or gpu_jobs of the profile, and run again"
    )
