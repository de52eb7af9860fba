"""Proves that every result is what the present configuration and code would make, by the records beside it.

    python workflow_scripts/verify.py [TARGET …] --profile profiles/local [--configfile configs/NAME.yaml]

Compared are settings, fingerprint of the code, and hashes of inputs and results; --quick leaves out large files. All
other arguments go to Snakemake; targets come first. Exit status 1 where a result differs. Makes no file.
"""

import sys
from pathlib import Path

from clara import config as configuration
from clara import program
from clara.plan import Plan
from clara.runs import verify
from clara.runs.jobs import planned


def main(argv: list[str] | None = None) -> None:
    """Lists all jobs, compares, prints."""
    flags = program.parser(__doc__)
    flags.add_argument("--quick", action="store_true")
    given, rest = flags.parse_known_args(argv)
    plan = Plan(configuration.of_command_line(rest), Path.cwd())
    verdicts = verify.verify(
        planned([*rest, "--forceall"]), canonical=plan.accepted.canonical, modules_of=plan.modules, quick=given.quick
    )
    print(verify.text(verdicts))
    if any(verdict.faults for verdict in verdicts):
        sys.exit(1)


if __name__ == "__main__":
    program.run(main)
