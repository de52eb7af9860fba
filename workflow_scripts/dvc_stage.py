"""Makes a target of the workflow for `dvc repro`, of files that Snakemake knows to be of these settings and this code.

    python workflow_scripts/dvc_stage.py corpus_all

Files that came without Snakemake's records, as after `dvc pull` into a fresh clone, could be of other settings: they
are made again. To declare that they are not: `dvc pull && dvc status -q && snakemake --touch --forceall --cores 1`.
The profile is that of SNAKEMAKE_PROFILE, else profiles/local, so that a change of machine is no change of the stage.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from clara import program
from clara.errors import ResourceError

RUNNER = "workflow_scripts/run_pipeline.py"


class Output(NamedTuple):
    """A row of Snakemake's summary."""

    path: str
    log: str
    """The log of the job that made it; `-` where Snakemake has no record of one."""
    plan: str
    """`no update`, or what Snakemake would do."""


def main(argv: list[str] | None = None) -> None:
    """Makes the targets, unless all is there and recorded."""
    flags = program.parser(__doc__)
    flags.add_argument("targets", nargs="+")
    targets = flags.parse_args(argv).targets
    profile = ["--profile", os.environ.get("SNAKEMAKE_PROFILE") or "profiles/local"]
    outputs = summary([*targets, *profile])
    unrecorded = [output.path for output in outputs if output.log == "-" and Path(output.path).exists()]
    if unrecorded:
        print(f"made again, for want of records: {', '.join(unrecorded)}", file=sys.stderr)
    elif all(output.plan == "no update" for output in outputs):
        return
    force = ["--forcerun", *unrecorded] if unrecorded else []
    done = subprocess.run([sys.executable, RUNNER, *targets, *profile, *force])
    if done.returncode:
        raise ResourceError(
            f"Snakemake could not make {', '.join(targets)}; the reason stands above, mend it and repeat"
        )
    late = [output.path for output in summary([*targets, *profile]) if output.plan != "no update"]
    if late:
        raise ResourceError(f"{late[0]} is not up to date after the run; was a file edited meanwhile? repeat dvc repro")


def summary(arguments: list[str]) -> list[Output]:
    """What Snakemake says of every file behind the targets."""
    command = [sys.executable, "-m", "snakemake", "--summary", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise ResourceError(f"Snakemake could not list the files of {arguments[0]}: {done.stderr.strip()}")
    rows = [line.split("\t") for line in done.stdout.splitlines()[1:]]
    return [Output(path=row[0], log=row[3], plan=row[5]) for row in rows if len(row) == 6]


if __name__ == "__main__":
    program.run(main)
