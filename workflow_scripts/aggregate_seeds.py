"""Mean and spread of every score over the seeds.

    python workflow_scripts/aggregate_seeds.py --settings '{"seed": 42, "seeds": [43, 44]}' \\
        --metrics results/demo/evaluation/metrics/*.json \\
        --scores results/demo/evaluation/seeds.json --table results/demo/evaluation/seeds.csv

Makes the table as JSON and as CSV: system, benchmark, setting, metric, seeds, mean, spread (sample standard deviation),
least, greatest, and the interval over questions under the first seed.
"""

from clara import program
from clara.config.rules import AggregateSeeds, parse_settings
from clara.environment import record
from clara.evaluation.results import read_scores
from clara.files import write_json, write_text


def main(argv: list[str] | None = None) -> None:
    """Parses the flags and aggregates."""
    flags = program.parser(__doc__)
    flags.add_argument("--settings", required=True)
    program.add_paths(flags, "--scores", "--table", many=("--metrics",))
    given = flags.parse_args(argv)
    settings = parse_settings(AggregateSeeds, given.settings)

    from clara.evaluation import seeds

    rows = seeds.aggregate(read_scores(given.metrics), settings.seed, settings.seeds)
    write_json(given.scores, seeds.as_json(rows, settings.seed, settings.seeds))
    write_text(given.table, seeds.as_csv(rows))
    record(given.scores, settings, inputs=given.metrics)


if __name__ == "__main__":
    program.run(main)
