"""Checks what would stop a run later; a line each: ok, warn or fail, and the remedy.

    python workflow_scripts/preflight.py --profile slurm --configfile configs/paper-mistral.yaml

Without SLURM in the profile: imports, model, memory, GPUs, room on the disk and within quotas. With it also
partitions, types of GPUs, account, status command, preemption, time limits. Other arguments go to Snakemake. Exit
status 1 where something fails. Makes no file.
"""

import sys
from pathlib import Path

from clara import config as configuration
from clara import program
from clara.evaluation.paper.equal import Equals
from clara.runs import preflight
from clara.runs.jobs import planned
from clara.runs.preflight_disk import disk_checks
from clara.runs.preflight_slurm import slurm_checks
from clara.sizing.jobs import Sizes, job_size
from clara.sizing.steps import Site


def main(argv: list[str] | None = None) -> None:
    """Plans the run, checks, prints."""
    flags = program.parser(__doc__)
    flags.add_argument("--profile", default="profiles/local")
    given, rest = flags.parse_known_args(argv)
    config = configuration.of_command_line(rest)
    profile = preflight.read_profile(given.profile)
    jobs = planned([*rest, "--profile", given.profile])
    sizes = Sizes(
        Equals(config, Path.cwd()).plan.variants, Site(node_gpus=max((job.resources["gpu"] for job in jobs), default=0))
    )
    run = preflight.Run(config, profile, jobs, lambda job: job_size(sizes, job.rule, job.wildcards), sys.executable)
    checks = preflight.local_checks(run) + disk_checks(run)
    if profile.get("executor") == "slurm":
        checks += slurm_checks(run)
    print(preflight.text(checks))
    if any(check.level == "fail" for check in checks):
        sys.exit(1)


if __name__ == "__main__":
    program.run(main)
