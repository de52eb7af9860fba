"""Ranks every question's candidates by BM25: the retrieval baseline.

    python workflow_scripts/rank_bm25.py --candidates results/demo/candidates/*.test.*.jsonl \\
        --predictions results/demo/evaluation/predictions/bm25.jsonl

Makes one prediction a question, with a ranking and no answer; the scores stand in the candidates.
"""

from clara import program
from clara.data.candidates import rank_by_bm25
from clara.environment import record
from clara.row_files import write_rows


def main(argv: list[str] | None = None) -> None:
    """Parses the flags and ranks."""
    arguments = program.parser(__doc__)
    program.add_paths(arguments, "--predictions", many=("--candidates",))
    args = arguments.parse_args(argv)
    write_rows(args.predictions, rank_by_bm25(args.candidates))
    record(args.predictions, None, inputs=args.candidates)


if __name__ == "__main__":
    program.run(main)
