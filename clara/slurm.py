"""What SLURM says of jobs, asked through its own commands; and how the tasks of a job find each other."""

import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from clara.errors import ResourceError

LOGS = Path("logs/slurm")
"""Where the jobs of a folder write, from its first submission on: `slurm-logdir` in profiles/slurm."""
PREFIX = "clara_"
"""How the names of this project's jobs begin: `slurm-jobname-prefix` in profiles/slurm."""
SECONDS_TO_END = 120


class Job(NamedTuple):
    """A job that is not over."""

    id: str
    step: str
    """The rule and its wildcards, as the executor plugin writes them into the job's comment."""


def jobs_of(folder: Path) -> list[Job]:
    """This project's unfinished jobs that were submitted from `folder`; none where nothing was ever submitted.

    A folder whose runs were all local is not held up by a cluster that is out of reach, as on a laptop.

    Raises:
        ResourceError: the controller does not answer.
    """
    if not (folder / LOGS).exists() or not shutil.which("squeue"):
        return []
    command = ["squeue", "--me", "--noheader", "--format=%A|%j|%k|%Z"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "configuration source" in done.stderr:  # the commands are installed, but no cluster is set up
        return []
    if done.returncode:
        raise ResourceError(f"squeue does not answer ({last_line(done.stderr)}); wait for SLURM, then run again")
    rows = [line.split("|", 3) for line in done.stdout.splitlines()]
    here = folder.resolve()
    return [
        Job(id, step)
        for id, name, step, place in rows
        if name.startswith(PREFIX) and place and Path(place).resolve() == here
    ]


def cancel(jobs: Sequence[Job], folder: Path) -> None:
    """Cancels the jobs and returns when none of them is left in `folder`.

    Raises:
        ResourceError: some are still there after two minutes.
    """
    ids = {job.id for job in jobs}
    subprocess.run(["scancel", *sorted(ids)], check=False)
    until = time.monotonic() + SECONDS_TO_END
    while left := ids & {job.id for job in jobs_of(folder)}:
        if time.monotonic() > until:
            raise ResourceError(f"SLURM does not end the jobs {', '.join(sorted(left))}; end them, then run again")
        time.sleep(0.5)


class Rendezvous(NamedTuple):
    """How a task of a job takes part in a training over several tasks."""

    machines: int
    rank: int
    address: str
    port: int


def rendezvous(variables: Mapping[str, str]) -> Rendezvous:
    """The place of this task among those that one `srun` started, from the variables that SLURM gives it.

    The first node of the job is the meeting place; its port follows from the job's number, so that the jobs of one node
    do not meet each other.
    """
    nodes = variables["SLURM_STEP_NODELIST"]
    names = subprocess.run(["scontrol", "show", "hostnames", nodes], capture_output=True, text=True, check=False)
    address = names.stdout.split()[0] if names.stdout.split() else nodes
    port = 20000 + int(variables["SLURM_JOB_ID"]) % 20000
    return Rendezvous(int(variables["SLURM_NTASKS"]), int(variables["SLURM_PROCID"]), address, port)


def last_line(text: str) -> str:
    """The last line of a message, or that there was none."""
    return (text.strip().splitlines() or ["no message"])[-1]


def state_of(job: str) -> str | None:
    """SLURM's word for the state of a job, also of one that is over; null where SLURM is absent or has forgotten it."""
    asked = f"--jobs={job}"
    for command in (
        ["squeue", "--noheader", "--states=all", "--format=%T", asked],
        ["sacct", "--noheader", "--allocations", "--parsable2", "--format=State", asked],
    ):
        if said := answer(command).split():
            return said[0]
    return None


def answer(command: Sequence[str], seconds: float = 30) -> str:
    """What a command says on its standard output; empty where it is absent, fails or hangs."""
    if not shutil.which(command[0]):
        return ""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
