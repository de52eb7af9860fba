"""Ranks every question's candidates by BM25: the retrieval baseline.

    python workflow_scripts/rank_bm25.py --settings "$SETTINGS" --candidates results/demo/candidates/*.test.*.jsonl \\
        --predictions results/demo/evaluation/predictions/bm25.jsonl

Makes one prediction a question, with a ranking and no answer. `$SETTINGS` is the JSON of bm25_k1 and bm25_b.
"""

from clara import program
from clara.config.rules import RankBm25, parse_settings
from clara.data.candidates import rank_by_bm25
from clara.environment import record
from clara.row_files import write_rows


def main(argv: list[str] | None = None) -> None:
    """Parses the flags and ranks."""
    arguments = program.parser(__doc__)
    arguments.add_argument("--settings", required=True)
    program.add_paths(arguments, "--predictions", many=("--candidates",))
    args = arguments.parse_args(argv)
    settings = parse_settings(RankBm25, args.settings)
    write_rows(args.predictions, rank_by_bm25(args.candidates, k1=settings.bm25_k1, b=settings.bm25_b))
    record(args.predictions, settings, inputs=args.candidates)


if __name__ == "__main__":
    program.run(main)
