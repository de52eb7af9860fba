"""Describes what a run was made of, and what its compression ratios really are.

    python workflow_scripts/measure_data.py --settings "$SETTINGS" --pairs results/demo/synthesis/pairs.parquet \\
        --review results/demo/synthesis/review.json --corpus-report results/demo/corpus/report.json \\
        --candidates results/demo/candidates/*.jsonl --documents results/demo/corpus/documents.parquet \\
        --backbone results/demo/backbone/card.json --data results/demo/measurements/data.json

Makes one JSON file: synthesized rows by kind, questions by benchmark, the corpus, and nominal and effective ratios.
"""

from clara import program
from clara.config.rules import MeasureData, parse_settings
from clara.data.tokenization import TokenCounter
from clara.environment import record
from clara.files import write_json
from clara.records import Pair, Passage
from clara.row_files import Rows, StoredRows


def main(argv: list[str] | None = None) -> None:
    """Parses the flags and describes."""
    flags = program.parser(__doc__)
    flags.add_argument("--settings", required=True)
    paths = ("--pairs", "--review", "--corpus-report", "--documents", "--backbone", "--data")
    program.add_paths(flags, *paths, many=("--candidates",))
    given = flags.parse_args(argv)
    settings = parse_settings(MeasureData, given.settings)

    from clara.measurements import data

    found = data.describe(
        Rows(Pair, given.pairs),
        given.review,
        given.corpus_report,
        given.candidates,
        StoredRows(Passage, given.documents),
        TokenCounter.of_backbone(given.backbone),
        ratios=settings.ratios,
        document_max_tokens=settings.document_max_tokens,
    )
    write_json(given.data, found)
    read = [given.pairs, given.review, given.corpus_report, *given.candidates, given.documents, given.backbone]
    record(given.data, settings, inputs=read)


if __name__ == "__main__":
    program.run(main)
