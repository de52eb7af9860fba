"""Whether every result is what the present configuration and code would make: `make verify`."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from clara.files import sha256_file
from clara.runs.jobs import Job, Recorded, modules_changed, recorded, settings_changed

LARGE_BYTES = 64 * 2**20


class Verdict(NamedTuple):
    """What is found of one job's results."""

    job: Job
    made: bool
    """Whether all of them are there."""
    faults: list[str]


def verify(
    jobs: Sequence[Job],
    *,
    canonical: Callable[[str, str], str],
    modules_of: Callable[[str], dict[str, str]],
    quick: bool = False,
) -> list[Verdict]:
    """A verdict for every job.

    Args:
        jobs: all of a run's, whether they are to run or not.
        canonical: of a rule and a fingerprint, the one that it was declared to equal (`clara.accepted`).
        modules_of: module → digest of the present code of a rule.
        quick: compare no file above 64 MiB.
    """
    hashes: dict[str, str] = {}
    found = []
    for job in jobs:
        there = [path for path in job.outputs if Path(path).is_file()]
        faults: list[str] = []
        if there:
            record = recorded(job)
            faults = (
                ["nothing beside it tells how it was made"]
                if record is None
                else _against(job, record, canonical, modules_of) + _files(record, hashes, quick)
            )
            faults += [f"{path} is missing" for path in job.outputs if path not in there]
            faults = list(dict.fromkeys(faults))
        found.append(Verdict(job, bool(there), faults))
    return found


def _against(
    job: Job,
    record: Recorded,
    canonical: Callable[[str, str], str],
    modules_of: Callable[[str], dict[str, str]],
) -> list[str]:
    faults = settings_changed(job, record)
    if not record.fingerprint:
        return [*faults, "its record names no code: made by an earlier version"]
    if canonical(job.rule, record.fingerprint) != job.code:
        faults.append(f"code changed: {', '.join(modules_changed(record, modules_of(job.rule)))}")
    return faults


def _files(record: Recorded, hashes: dict[str, str], quick: bool) -> list[str]:
    faults = []
    for said, files in (
        ("its input {} is not the one it was made from", record.inputs),
        (
            "{} is not as it was written",
            record.outputs,
        ),
    ):
        for name, digest in files.items():
            path = Path(name)
            if not path.is_file():
                faults.append(f"{name} is missing")
            elif not (quick and path.stat().st_size > LARGE_BYTES):
                if name not in hashes:
                    hashes[name] = sha256_file(path)
                faults += [said.format(name)] * (hashes[name] != digest)
    return faults


def text(verdicts: Sequence[Verdict]) -> str:
    """What people read: the faults, then how many results hold."""
    made = [verdict for verdict in verdicts if verdict.made]
    bad = [verdict for verdict in made if verdict.faults]
    lines = [f"{verdict.job.name}: {'; '.join(verdict.faults)}" for verdict in bad]
    open_ = len(verdicts) - len(made)
    lines.append(
        f"{len(made) - len(bad)} of {len(made)} results are of these settings, this code and these inputs"
        + (f"; {open_} are not made yet" if open_ else "")
    )
    return "\n".join(lines)
