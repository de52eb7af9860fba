"""Writes the course of every checkpoint's training as one table: loss and recall by step.

    python workflow_scripts/collect_training.py --settings '{}' --histories results/demo/*/*/history.jsonl \\
        --course results/demo/measurements/training.csv
"""

from clara import program
from clara.config.rules import CollectTraining, parse_settings
from clara.environment import record
from clara.files import write_text
from clara.measurements import training


def main(argv: list[str] | None = None) -> None:
    """Parses the flags and writes the table."""
    flags = program.parser(__doc__)
    flags.add_argument("--settings", required=True)
    program.add_paths(flags, "--course", many=("--histories",))
    given = flags.parse_args(argv)
    settings = parse_settings(CollectTraining, given.settings)
    write_text(given.course, training.as_csv(training.read_courses(given.histories)))
    record(given.course, settings, inputs=given.histories)


if __name__ == "__main__":
    program.run(main)
