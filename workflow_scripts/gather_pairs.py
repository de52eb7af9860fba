"""Puts the rows of all shards of synthesis together.

    python workflow_scripts/gather_pairs.py --settings '{"exclude_leaks": false}' \\
        --shard-pairs R/synthesis/shards/{1,2}-of-2/pairs.parquet \\
        --shard-rejected R/synthesis/shards/{1,2}-of-2/rejected.parquet \\
        --shard-reports R/synthesis/shards/{1,2}-of-2/report.json \\
        --pairs R/synthesis/pairs.parquet --rejected R/synthesis/rejected.parquet --report R/synthesis/report.json

Makes the three files, the same for any number of shards. --questions, with exclude_leaks, names test questions whose
matches are left out.
"""

from pathlib import Path

from clara import program
from clara.config.rules import GatherPairs, parse_settings
from clara.environment import record
from clara.records import Question
from clara.row_files import read_rows
from clara.synthesis.leaks import Leaks
from clara.synthesis.shards import gather


def main(argv: list[str] | None = None) -> None:
    """Parses the flags and gathers."""
    flags = program.parser(__doc__)
    flags.add_argument("--settings", required=True)
    many = ("--shard-pairs", "--shard-rejected", "--shard-reports")
    program.add_paths(flags, "--pairs", "--rejected", "--report", many=many)
    flags.add_argument("--questions", type=Path, nargs="*", default=[])
    given = flags.parse_args(argv)
    settings = parse_settings(GatherPairs, given.settings)
    asked = [row.question for path in given.questions for row in read_rows(Question, path)]
    gather(
        shard_pairs=given.shard_pairs,
        shard_rejected=given.shard_rejected,
        shard_reports=given.shard_reports,
        leaks=Leaks(asked) if settings.exclude_leaks else None,
        pairs=given.pairs,
        rejected=given.rejected,
        summary=given.report,
    )
    inputs = [*given.shard_pairs, *given.shard_rejected, *given.shard_reports, *given.questions]
    record(given.pairs, settings, inputs=inputs, others=[given.rejected, given.report])


if __name__ == "__main__":
    program.run(main)
