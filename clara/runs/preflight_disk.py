"""The part of `make preflight` about disks: room for what the run writes, on the file system and within quotas."""

import grp
import os
import pwd
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from clara.runs.preflight import Check, Level, Run
from clara.slurm import answer

FILES_A_JOB = 8
"""Beside a job's results: log, benchmark, records, settings, states and Snakemake's own."""
ROW = re.compile(r"(\S+)\s+(\d+)\*?\s+(\d+)\s+(\d+)\s+\S+\s+(\d+)\*?\s+(\d+)\s+(\d+)\s+\S+")
"""A file system, kilobytes used, soft and hard limit, grace; the same of files. Long names stand on a line alone."""


class Quota(NamedTuple):
    """What an owner may still write on a file system."""

    owner: str
    place: str
    mb: float
    """Infinite where nothing limits it."""
    files: float


def disk_checks(run: Run) -> list[Check]:
    """Room of the file system, then of each quota of it that `quota` or Lustre's `lfs` tells."""
    folder = Path.cwd()
    needed = sum(run.size_of(job).disk_mb for job in run.jobs)
    files = sum(len(job.outputs) + FILES_A_JOB for job in run.jobs)
    system = os.statvfs(folder)
    inodes = float(system.f_favail) if system.f_files else float("inf")
    free = Quota("", "here", shutil.disk_usage(folder).free / 1e6, inodes)
    return [
        _check("disk", free, needed, files, "free space or run in another folder"),
        *(
            _check(f"quota of {one.owner}", one, needed, files, "delete old results, or ask for a larger quota")
            for one in quotas(folder)
        ),
    ]


def quotas(folder: Path) -> list[Quota]:
    """The quotas of user and group on the file system of `folder`, as far as its commands tell."""
    user, group = _names()
    own = source_of(folder)
    found = []
    for owner, name, flag in ((f"user {user}", user, "-u"), (f"group {group}", group, "-g")):
        rows = [row for row in rows_of(answer(["quota", "-w", "-p", flag])) if row[0] in own]
        rows += rows_of(answer(["lfs", "quota", "-q", flag, name, str(folder)]))
        found += [Quota(owner, row[0], _left(row[1:4], 1.024e-3), _left(row[4:7], 1)) for row in rows]
    return [one for one in found if min(one.mb, one.files) < float("inf")]


def rows_of(said: str) -> list[tuple[str, ...]]:
    """File system and six numbers of each row that `quota -w -p` or `lfs quota` printed."""
    return [row for row in ROW.findall(said) if not row[0].isdigit()]


def source_of(folder: Path) -> tuple[str, str]:
    """Device and mount point of the file system on which a folder lies."""
    try:
        mounts = [line.split()[:2] for line in Path("/proc/self/mounts").read_text().splitlines()]
    except OSError:
        return "", ""
    above = [(device, point) for device, point in mounts if folder.resolve().is_relative_to(point)]
    return max(above, key=lambda mount: len(mount[1]), default=("", ""))


def _left(used: Sequence[str], unit: float) -> float:
    """Up to the lower of the limits that are set; zero where it is passed."""
    now, *limits = (int(number) for number in used)
    limited = [limit for limit in limits if limit]
    return max(0, min(limited) - now) * unit if limited else float("inf")


def _check(name: str, free: Quota, needed: float, files: int, remedy: str) -> Check:
    text = f"{free.mb:,.0f} MB free {free.place}, about {needed:,.0f} MB to be written"
    if free.files < float("inf"):
        text += f"; {free.files:,.0f} files free, about {files:,} to be made"
    if needed > free.mb or files > free.files:
        return Check("fail", name, text, remedy)
    level: Level = "warn" if 2 * needed > free.mb or 2 * files > free.files else "ok"
    return Check(level, name, text, f"{remedy}: the estimate may be off by two" if level == "warn" else "")


def _names() -> tuple[str, str]:
    """User and group of this process; their numbers where nobody named them, as in some containers."""
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        user = str(os.getuid())
    try:
        return user, grp.getgrgid(os.getgid()).gr_name
    except KeyError:
        return user, str(os.getgid())
