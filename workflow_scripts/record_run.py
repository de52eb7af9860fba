"""Copies a finished run's tables, figures and curves into a folder to keep, with a table of what made them.

    python workflow_scripts/record_run.py --run results/small_cpu --record docs/results/small \\
        --command "snakemake --profile profiles/local --configfile configs/small.yaml configs/small-cpu.yaml"

Makes the tables and figures of the report, those of the paper where there are any, curves.csv (every logged loss) and
run.md (commit, dates, machine, memory) in the folder of --record.
"""

from clara import program
from clara.evaluation.recording import record_run


def main(argv: list[str] | None = None) -> None:
    """Parses the flags and copies."""
    flags = program.parser(__doc__)
    flags.add_argument("--command", required=True)
    program.add_paths(flags, "--run", "--record")
    given = flags.parse_args(argv)
    print("\n".join(record_run(given.run, given.record, command=given.command)))


if __name__ == "__main__":
    program.run(main)
