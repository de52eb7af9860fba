"""Declaring a code change harmless, so that what stands on it does not run again: `make accept`."""

import getpass
import subprocess
import time
from collections.abc import Callable, Sequence

from clara.accepted import Accepted, Change
from clara.errors import ConfigError
from clara.runs.jobs import Job, recorded, settings_changed


def changes(
    jobs: Sequence[Job], accepted: Accepted, *, fingerprint_of: Callable[[str], str], stage: str, why: str
) -> list[Change]:
    """The declarations that make the results of `jobs` count as made by the present code.

    Args:
        jobs: of the stage, whether they are to run or not.
        accepted: earlier declarations.
        fingerprint_of: rule → fingerprint of its present code.
        stage: as it was asked for.
        why: for the readers of the file.

    Raises:
        ConfigError: settings changed too, or the results of a rule were made by several codes, or by an unknown one.
    """
    olds: dict[str, set[str]] = {}
    for job in jobs:
        record = recorded(job)
        if record is None:
            continue
        if changed := settings_changed(job, record):
            raise ConfigError(
                f"{job.name} is not of the present settings either ({'; '.join(changed)}), so it runs again whatever "
                "is accepted; take the change of settings back, accept, and change them again"
            )
        if not record.fingerprint:
            raise ConfigError(f"{job.outputs[0]} does not tell which code made it; it has to be made again")
        olds.setdefault(job.rule, set()).add(accepted.canonical(job.rule, record.fingerprint))
    found = []
    for rule, codes in olds.items():
        now = fingerprint_of(rule)
        if codes == {accepted.canonical(rule, now)}:
            continue
        if len(codes) > 1:
            raise ConfigError(
                f"the results of {rule} were made by different code ({', '.join(sorted(codes))}); make them again"
            )
        found.append(Change(stage, rule, codes.pop(), now, who(), time.strftime("%Y-%m-%d"), why))
    return found


def who() -> str:
    """Name and address as git has them, else the user's name on this machine."""
    parts = []
    for key in ("user.name", "user.email"):
        done = subprocess.run(["git", "config", key], capture_output=True, text=True, check=False)
        parts.append(done.stdout.strip())
    name, address = parts
    return f"{name} <{address}>" if name and address else name or getpass.getuser()
