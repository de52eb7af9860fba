"""The part of `make preflight` that asks SLURM: partitions, GPUs, time, memory, account, accounting, preemption."""

import os
import re
import shutil
from collections.abc import Sequence
from typing import NamedTuple

from clara.runs.jobs import Job
from clara.runs.preflight import Check, Run
from clara.slurm import answer

POLL_SECONDS = 120
"""`MinJobAge` below this, and squeue forgets jobs before Snakemake has asked."""


class Partition(NamedTuple):
    """What sinfo says of a partition's best node."""

    minutes: float
    mem_mb: int
    gpus: dict[str, int]
    """GPU type, empty where none is named → number in a node."""


def slurm_checks(run: Run) -> list[Check]:
    """All checks; the first alone where SLURM's commands are missing or silent."""
    missing = [name for name in ("sbatch", "squeue", "sinfo", "scontrol") if not shutil.which(name)]
    if missing:
        return [
            Check("fail", "SLURM", f"no {', '.join(missing)} here", "run on a login node, or --profile profiles/local")
        ]
    known = partitions()
    if not known:
        return [Check("fail", "SLURM", "sinfo names no partition", "wait for the controller, or check SLURM_CONF")]
    jobs = [job for job in run.jobs if not job.local]
    return [
        *(
            check
            for name in dict.fromkeys(job.site.get("slurm_partition", "") for job in jobs)
            for check in _partition(name, jobs, known)
        ),
        *_account(jobs),
        _status_command(run),
        *_preemption(run, {job.site.get("slurm_partition", "") for job in jobs}),
        *_environment(),
    ]


def partitions() -> dict[str, Partition]:
    """Name → what its nodes offer at most."""
    found: dict[str, Partition] = {}
    for line in answer(["sinfo", "--noheader", "--format=%P|%l|%m|%G"]).splitlines():
        name, limit, memory, gres = line.split("|", 3)
        before = found.get(name.rstrip("*"), Partition(0, 0, {}))
        gpus = dict(before.gpus)
        for model, count in re.findall(r"gpu:(?:([A-Za-z][\w.-]*):)?(\d+)", gres):
            gpus[model] = max(gpus.get(model, 0), int(count))
        megabytes = int(re.sub(r"\D", "", memory) or 0)
        found[name.rstrip("*")] = Partition(max(before.minutes, minutes(limit)), max(before.mem_mb, megabytes), gpus)
    return found


def minutes(limit: str) -> float:
    """`1-00:00:00` as 1440; infinite where there is none."""
    if not re.fullmatch(r"[\d:-]+", limit):
        return float("inf")
    days, _, clock = limit.rpartition("-")
    parts = [int(part) for part in clock.split(":")]
    hours = [0] * (3 - len(parts)) + parts if not days else [*parts, 0, 0][:3]
    return int(days or 0) * 1440 + hours[0] * 60 + hours[1] + hours[2] / 60


def _partition(name: str, jobs: Sequence[Job], known: dict[str, Partition]) -> list[Check]:
    label, own = f"partition {name}", [job for job in jobs if job.site.get("slurm_partition", "") == name]
    if name not in known:
        there = ", ".join(known)
        return [Check("fail", label, f"does not exist; there are {there}", "slurm_partition in the profile")]
    offer, faults = known[name], []
    longest = max(job.resources["runtime"] for job in own)
    if longest > offer.minutes:
        faults.append(
            Check("fail", label, f"ends jobs after {offer.minutes:g} minutes, {longest} are asked for", "slot_minutes")
        )
    memory = max(own, key=lambda job: job.resources["mem_mb"])
    if memory.resources["mem_mb"] > offer.mem_mb:
        faults.append(
            Check(
                "fail",
                label,
                f"its nodes have {offer.mem_mb:,} MB, {memory.name} asks for {memory.resources['mem_mb']:,}",
                "another partition",
            )
        )
    models = {job.site.get("gpu_model", "") for job in own if job.resources["gpu"]}
    gpus = max(job.resources["gpu"] for job in own)
    for model in sorted(models):
        offered = offer.gpus.get(model, 0) if model else max(offer.gpus.values(), default=0)
        if offered < gpus:
            types = ", ".join(f"{count} x {kind or 'gpu'}" for kind, count in offer.gpus.items()) or "no GPU"
            faults.append(
                Check(
                    "fail",
                    label,
                    f"a node has {types}, a job asks for {gpus} {model}".rstrip(),
                    "node_gpus or gpu_model",
                )
            )
    return faults or [Check("ok", label, f"has room for all {len(own)} jobs")]


def _account(jobs: Sequence[Job]) -> list[Check]:
    accounts = {job.site["slurm_account"] for job in jobs if "slurm_account" in job.site}
    if not accounts or _setting("AccountingStorageType").endswith("none"):
        return []
    user = os.environ.get("USER", "")
    mine = set(
        answer(["sacctmgr", "--noheader", "--parsable2", "show", "assoc", f"user={user}", "format=account"]).split()
    )
    wrong = accounts - mine
    if wrong and mine:
        return [
            Check(
                "fail", "account", f"{', '.join(wrong)} is none of yours ({', '.join(sorted(mine))})", "slurm_account"
            )
        ]
    return [
        Check("ok", "account", ", ".join(accounts))
        if mine
        else Check("warn", "account", "sacctmgr names none of yours")
    ]


def _setting(name: str) -> str:
    found = re.search(rf"^{name}\s*=\s*(.*?)\s*$", answer(["scontrol", "show", "config"]), re.MULTILINE)
    return found[1] if found else ""


def _status_command(run: Run) -> Check:
    command = run.profile.get("slurm-status-command", "sacct")
    accounting = not _setting("AccountingStorageType").endswith("none")
    if command == "sacct":
        if not accounting:
            found = "no accounting database: sacct never tells that a job is over, and the run waits for ever"
            return Check("fail", "status command", found, "slurm-status-command: squeue in the profile")
        if answer(["sacct", "--allocations", "--format=JobID"]):  # its heading, also where there are no jobs
            return Check("ok", "status command", "sacct, accounting is on")
        return Check("fail", "status command", "sacct does not answer", "slurm-status-command: squeue in the profile")
    age = int(re.sub(r"\D", "", _setting("MinJobAge")) or 0)
    if age < POLL_SECONDS:
        found = f"squeue, but SLURM forgets jobs after MinJobAge = {age} s"
        return Check("fail", "status command", found, f"ask for MinJobAge of {POLL_SECONDS} s or more, or use sacct")
    return Check("ok", "status command", f"squeue, MinJobAge = {age} s")


def _preemption(run: Run, names: set[str]) -> list[Check]:
    requeue = bool(run.profile.get("slurm-requeue"))
    found = []
    for name in sorted(names):
        mode = re.search(r"PreemptMode=(\S+)", answer(["scontrol", "show", "partition", name]))
        modes = set((mode[1] if mode else "OFF").upper().split(","))
        label = f"preemption in {name}"
        if "CANCEL" in modes:
            text = "PreemptMode=CANCEL: a preempted job counts as running for ever"
            found.append(Check("fail", label, text, "another partition"))
        elif "REQUEUE" in modes and not requeue:
            text = "PreemptMode=REQUEUE, but the profile forbids SLURM to start a job again"
            found.append(Check("fail", label, text, "slurm-requeue: true instead of slurm-no-requeue"))
        else:
            found.append(Check("ok", label, f"PreemptMode={','.join(sorted(modes))}"))
    return found


def _environment() -> list[Check]:
    if "SLURM_CONF" not in os.environ:
        return []
    text = "SLURM_CONF is set, but does not reach the inside of jobs"
    return [Check("warn", "SLURM_CONF", text, "the configuration has to lie in its default place")]
