"""Prints the jobs that Snakemake would run, as JSON: what each makes, with which settings, and why it would run.

    python workflow_scripts/list_jobs.py [TARGET …] --profile profiles/local [--configfile configs/NAME.yaml]

All arguments go to Snakemake, as a dry run; with --forceall all jobs behind the targets are listed. This is where
`make explain`, `make verify` and `make accept` know the graph from. Makes no file.
"""

import contextlib
import io
import json
import sys
from typing import Any

from clara import program
from clara.errors import ConfigError

SITE = ("slurm_partition", "slurm_account", "gpu_model")


def main(argv: list[str] | None = None) -> None:
    """Runs Snakemake dry, keeps what it would do, prints it."""
    from snakemake.cli import main as snakemake
    from snakemake.jobs import Job

    jobs: list[Any] = []
    Job.log_info = lambda job, *_, **__: jobs.append(job)
    said = io.StringIO()
    code: object = 0
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            snakemake([*(sys.argv[1:] if argv is None else argv), "--dry-run", "--nolock"])
        except SystemExit as end:
            code = end.code
    if code:
        raise ConfigError(f"Snakemake cannot plan this run: {' '.join(said.getvalue().split())[-1500:]}")
    made_here = {file for job in jobs for file in job.output}
    print(json.dumps([described(job, made_here) for job in jobs if job.output]))


def described(job: Any, made_here: set[str]) -> dict[str, Any]:
    """A job as plain data."""
    reason = job.dag.reason(job)
    return {
        "rule": job.rule.name,
        "wildcards": dict(job.wildcards_dict),
        "outputs": [str(file) for file in job.output],
        "inputs": [str(file) for file in job.input],
        "waits": any(file in made_here for file in job.input),
        "settings": job.params.get("settings", "{}"),
        "code": job.params.get("code", ""),
        "missing": [str(file) for file in (*reason.missing_output, *reason.incomplete_output)],
        "changed_inputs": [str(file) for file in reason.updated_input] + ["list"] * bool(reason.input_changed),
        "params_changed": bool(reason.params_changed or reason.code_changed),
        "resources": {key: job.resources.get(key, 0) for key in ("mem_mb", "runtime", "gpu")},
        "site": {key: str(job.resources[key]) for key in SITE if job.resources.get(key)},
        "local": job.rule.name in job.dag.workflow._localrules,
        "benchmark": str(job.benchmark or ""),
        "log": str(job.log[0]) if job.log else "",
        "state": job.params.get("state", ""),
    }


if __name__ == "__main__":
    program.run(main)
