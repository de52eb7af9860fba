"""Brings the questions of a benchmark into one form, as training and test parts.

    python workflow_scripts/prepare_questions.py --settings "$SETTINGS" --benchmark nq \\
        --passages results/demo/corpus/passages.parquet --train results/demo/questions/nq.train.jsonl \\
        --test results/demo/questions/nq.test.jsonl --test-normal results/demo/questions/nq.test_normal.jsonl \\
        --report results/demo/questions/nq.report.json

Makes the three question files (the last one empty where the benchmark has no file for it) and a report of counts and
overlap. `$SETTINGS` is the JSON of benchmarks.nq as `benchmark`.
"""

from clara import program
from clara.config.rules import PrepareQuestions, parse_settings
from clara.data.benchmarks import Files, prepare
from clara.data.sources import local_file
from clara.environment import record
from clara.files import write_json
from clara.row_files import write_rows


def main(argv: list[str] | None = None) -> None:
    """Parses the flags and prepares."""
    arguments = program.parser(__doc__)
    arguments.add_argument("--settings", required=True)
    arguments.add_argument("--benchmark", required=True)
    program.add_paths(arguments, "--passages", "--train", "--test", "--test-normal", "--report")
    args = arguments.parse_args(argv)
    given = parse_settings(PrepareQuestions, args.settings)
    settings = given.benchmark
    prepared = prepare(
        Files(settings.train, settings.test, settings.test_normal),
        kind=settings.format,
        passages=args.passages,
        num_train=settings.num_train,
        num_test=settings.num_test,
    )
    write_rows(args.train, prepared.train)
    write_rows(args.test, prepared.test)
    write_rows(args.test_normal, prepared.test_normal)
    write_json(args.report, prepared.report(args.benchmark))
    files = [local_file(location) for location in (settings.train, settings.test, settings.test_normal) if location]
    others = [args.train, args.test_normal, args.report]
    record(args.test, given, inputs=[args.passages, *files], others=others)


if __name__ == "__main__":
    program.run(main)
