"""Makes the results that `dvc pull` brings count as this folder's own, once DVC has proved that they fit.

    python workflow_scripts/adopt.py [STAGE …]        (make adopt)

Pulls the results of the stages and of all before them, of every stage by default; demands that data, code and settings
here are those they were recorded with; then tells Snakemake so. Without this it would go by the times of the files,
which are those of the download.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import yaml

from clara import program
from clara.errors import DataError, ResourceError

TOUCH = ["--touch", "--forceall", "--cores", "1"]


def main(argv: list[str] | None = None) -> None:
    """Pulls, proves, and touches."""
    flags = program.parser(__doc__)
    flags.add_argument("stages", nargs="*")
    stages = flags.parse_args(argv).stages
    dvc = [sys.executable, "-m", "dvc"]
    # Snakemake records all that a target stands on, so all of it has to be proved.
    which = ["--with-deps", *stages] if stages else []
    if subprocess.run([*dvc, "pull", *which]).returncode:
        raise ResourceError(
            "dvc pull did not bring everything; the reason stands above: mend the remote's address or key "
            "(docs/dvc.md), or have the results pushed by whoever made them (dvc push), and repeat"
        )
    status = subprocess.run([*dvc, "status", *which], capture_output=True, text=True)
    if status.returncode or "up to date" not in status.stdout:
        raise DataError(
            f"the results are not of this folder's settings and code ({' '.join(status.stdout.split())}); check out "
            "the commit that they belong to, or make them again: dvc repro"
        )
    profile = os.environ.get("SNAKEMAKE_PROFILE") or "profiles/local"
    touched = subprocess.run([sys.executable, "-m", "snakemake", *targets(stages), *TOUCH, "--profile", profile])
    if touched.returncode:
        raise ResourceError("Snakemake could not record the results as its own; the reason stands above")


def targets(stages: list[str]) -> list[str]:
    """What the stages ask Snakemake for, by their commands in dvc.yaml."""
    known = yaml.safe_load(Path("dvc.yaml").read_text(encoding="utf-8"))["stages"]
    return [target for stage in stages for target in re.split(r"dvc_stage\.py\s+", known[stage]["cmd"])[1].split()]


if __name__ == "__main__":
    program.run(main)
