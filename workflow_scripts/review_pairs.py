"""Reviews synthesized pairs: leaks of test questions, a check of 100 random pairs, and a page of samples to read.

    python workflow_scripts/review_pairs.py --settings '{"seed": 42}' --pairs R/synthesis/pairs.parquet \\
        --rejected R/synthesis/rejected.parquet --report R/synthesis/report.json \\
        --questions R/questions/*.test.jsonl --review R/synthesis/review.json --page R/synthesis/samples.html

Makes the report with what the review adds, and the page. The pairs stay as they are.
"""

from clara import program
from clara.config.rules import ReviewPairs, parse_settings
from clara.environment import record
from clara.records import Question
from clara.row_files import read_rows
from clara.synthesis.leaks import Leaks
from clara.synthesis.review import review


def main(argv: list[str] | None = None) -> None:
    """Parses the flags and reviews."""
    flags = program.parser(__doc__)
    flags.add_argument("--settings", required=True)
    program.add_paths(flags, "--pairs", "--rejected", "--report", "--review", "--page", many=("--questions",))
    given = flags.parse_args(argv)
    settings = parse_settings(ReviewPairs, given.settings)
    review(
        pairs=given.pairs,
        rejected=given.rejected,
        report=given.report,
        leaks=Leaks(row.question for path in given.questions for row in read_rows(Question, path)),
        seed=settings.seed,
        summary=given.review,
        page=given.page,
    )
    inputs = [given.pairs, given.rejected, given.report, *given.questions]
    record(given.review, settings, inputs=inputs, others=[given.page])


if __name__ == "__main__":
    program.run(main)
