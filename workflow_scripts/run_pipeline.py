"""Runs Snakemake in this folder, alone, and takes away the lock that a killed run left behind.

    python workflow_scripts/run_pipeline.py [TARGET …] --profile profiles/local [--configfile configs/NAME.yaml]

All arguments go to Snakemake, which takes this process's place and makes the files; targets come first, because
--configfile takes every word that follows it. With profiles/local, which lets jobs have 6,000 MB together, and without
--resources, they may have three fifths of the machine's memory where that is more. A second call beside a running one
is refused, and so is one beside a plain Snakemake, beside processes that outlived a killed run, and under a lock from
another machine; SLURM jobs that a killed run left are cancelled, or each would run twice.
"""

import fcntl
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import yaml

from clara import machine, program, slurm
from clara.errors import ResourceError
from clara.runs import started

SNAKEMAKE = [sys.executable, "-m", "snakemake"]
SKEW_NS = 60 * 10**9
"""Clocks of a network differ by less."""
LOCAL = "profiles/local"
LOCAL_MB = 6000
"""What that profile, as it comes, lets all jobs have together: it holds for a laptop of 8 GB."""
SHARE = 0.6
"""Of a larger machine's memory, for all jobs."""
ROOM_BYTES = 10**6
"""Snakemake's records, logs and locks of a small run."""


def main(argv: list[str] | None = None) -> None:
    """Takes the folder for this run and becomes Snakemake."""
    arguments = sys.argv[1:] if argv is None else argv
    folder = Path.cwd()
    require_writable(folder)
    require_room(folder)
    hold(folder)
    if any((folder / ".snakemake" / "locks").glob("*")):
        orphans = slurm.jobs_of(folder)
        require_ended(folder, [job.id for job in orphans])  # before anything is cancelled: they may be a live run's
        cancel(orphans, folder)
        require_ended(folder)
        print("an earlier run was killed; its lock is taken away", file=sys.stderr)
        unlock = subprocess.run([*SNAKEMAKE, "--unlock", *arguments], capture_output=True, text=True)
        if unlock.returncode:
            raise ResourceError(f"the lock could not be taken away; Snakemake said: {unlock.stderr.strip()}")
    if moved := date_now(folder / "results"):
        print(f"{moved} results are dated in the future: the clock was set back; they are dated now", file=sys.stderr)
    os.execv(SNAKEMAKE[0], [*SNAKEMAKE, *more_memory(arguments), *arguments])


def more_memory(arguments: list[str]) -> list[str]:
    """The flag that lets a larger machine than the local profile supposes run more jobs side by side; else none."""
    given = [part for word in arguments for part in word.split("=", 1)]
    local = any(given[place : place + 2] == ["--profile", LOCAL] for place in range(len(given)))
    if not local or "--resources" in given:
        return []
    profiles = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in Path(LOCAL).glob("*.yaml")]
    if [profile.get("resources") for profile in profiles] != [[f"mem_mb={LOCAL_MB}"]]:
        return []  # somebody's own limit
    together = int(SHARE * machine.memory_bytes() / 1e6)
    return [f"--resources=mem_mb={together}"] if together > LOCAL_MB else []


def require_writable(folder: Path) -> None:
    """Snakemake ends with an error of Python's where it may not write; this ends with a sentence."""
    for path in (folder, *(folder / name for name in ("results", "state", "logs", "benchmarks"))):
        if path.exists() and not os.access(path, os.W_OK):
            raise ResourceError(f"cannot write in {path}; unlock its disk or correct its rights, then run again")


def require_room(folder: Path) -> None:
    """Where its own records find no room, Snakemake blames the rights of their folder."""
    total, _, free = shutil.disk_usage(folder)
    if total and free < ROOM_BYTES:  # some network file systems tell no sizes
        raise ResourceError(f"the disk of {folder} is full ({free / 1e6:.1f} MB are left); free it and run again")


def hold(folder: Path) -> None:
    """Keeps other calls out of the folder until this process, which becomes Snakemake, ends."""
    (folder / ".snakemake").mkdir(exist_ok=True)
    handle = os.open(folder / ".snakemake" / "clara.lock", os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.read(handle, 20).decode().strip()
        raise ResourceError(
            f"another run works in {folder} (process {owner}); wait for it or end it, then run again"
        ) from None
    os.ftruncate(handle, 0)
    os.write(handle, str(os.getpid()).encode())
    os.set_inheritable(handle, True)


def date_now(folder: Path) -> int:
    """Dates the files below a folder that are of the future as of now, in their order; their number.

    Snakemake takes away what a job has made of them, because it looks older than its input.
    """
    now = time.time_ns()
    times = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    future = {path: when for path, when in times.items() if when > now + SKEW_NS}
    order = {when: place for place, when in enumerate(sorted(set(future.values())))}
    for path, when in future.items():
        new = now + 1000 * (order[when] - len(order))
        os.utime(path, ns=(new, new))
    return len(future)


def require_ended(folder: Path, apart: Sequence[str] = ()) -> None:
    """Refuses a folder in which a run, or what it left behind, is at work; jobs of SLURM `apart` from these.

    Raises:
        ResourceError: names the processes, or the machine that alone can tell.
    """
    if others := at_work(folder, apart):
        raise ResourceError(
            f"a run or what a killed one left behind is at work in {folder} ({', '.join(others)}); wait for them or "
            "end them, then run again"
        )
    if other := started.elsewhere(folder):
        raise ResourceError(
            f"{folder} is locked by {other}, which cannot be seen from here; start again on that machine, or, if that "
            f"process has ended, delete {started.FILE} and run again"
        )


def cancel(orphans: Sequence[slurm.Job], folder: Path) -> None:
    """Ends the SLURM jobs of a killed run: nothing would take their results, and new ones would do the same work."""
    if orphans:
        names = ", ".join(f"{job.id} ({job.step})" for job in orphans)
        print(f"the killed run left SLURM jobs behind; they are cancelled: {names}", file=sys.stderr)
        slurm.cancel(orphans, folder)


def at_work(folder: Path, apart: Sequence[str] = ()) -> list[str]:
    """`program.py, process N` for each process of the workflow in `folder`; none where the system has no /proc.

    Args:
        folder: in which they were started.
        apart: numbers of SLURM jobs on this machine whose processes do not count.
    """
    found = []
    own = ancestors(os.getpid())
    for process in Path("/proc").glob("[0-9]*"):
        try:
            parts = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
            here = (process / "cwd").resolve() == folder.resolve()
        except OSError:  # ended meanwhile, or another user's
            continue
        ours = [Path(part).name for part in parts if part.startswith("workflow_scripts/") or part.endswith("snakemake")]
        if here and ours and int(process.name) not in own and slurm_job(process) not in apart:
            found.append(f"{ours[0]}, process {process.name}")
    return found


def slurm_job(process: Path) -> str | None:
    """The SLURM job that a process, by its folder below /proc, belongs to."""
    try:
        variables = (process / "environ").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return None
    return next((each.partition("=")[2] for each in variables if each.startswith("SLURM_JOB_ID=")), None)


def ancestors(process: int) -> set[int]:
    """A process and those that started it: `dvc_stage.py` waits for this one and is no left-over."""
    found = set()
    while process > 1:
        found.add(process)
        try:
            status = Path(f"/proc/{process}/status").read_text()
        except OSError:
            break
        process = next((int(line.split()[1]) for line in status.splitlines() if line.startswith("PPid:")), 0)
    return found


if __name__ == "__main__":
    program.run(main)
