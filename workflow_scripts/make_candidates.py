"""Gives every question of a benchmark its pool of candidate documents.

    python workflow_scripts/make_candidates.py --settings "$SETTINGS" --passages results/demo/corpus/passages.parquet \\
        --train results/demo/questions/nq.train.jsonl --test results/demo/questions/nq.test.jsonl \\
        --test-normal results/demo/questions/nq.test_normal.jsonl \\
        --out-train-oracle results/demo/candidates/nq.train.oracle.jsonl \\
        --out-test-oracle results/demo/candidates/nq.test.oracle.jsonl \\
        --out-test-normal results/demo/candidates/nq.test.normal.jsonl

Makes the three files of questions with full pools, in the test each document with its BM25 score by the statistics of
all passages.
An empty --test-normal is made from the test questions by BM25; the pools of one with questions stay. `$SETTINGS` is the
JSON of seed, size, bm25_k1 and bm25_b.
"""

from copy import copy

from clara import program
from clara.config.rules import MakeCandidates, parse_settings
from clara.data.candidates import read_questions
from clara.data.pools import PoolMaker, fill
from clara.environment import record
from clara.records import Passage
from clara.row_files import read_rows, write_rows


def main(argv: list[str] | None = None) -> None:
    """Parses the flags and makes the pools."""
    arguments = program.parser(__doc__)
    arguments.add_argument("--settings", required=True)
    program.add_paths(arguments, "--passages", "--train", "--test", "--test-normal")
    program.add_paths(arguments, "--out-train-oracle", "--out-test-oracle", "--out-test-normal")
    args = arguments.parse_args(argv)
    settings = parse_settings(MakeCandidates, args.settings)
    documents = list(dict.fromkeys(passage.document for passage in read_rows(Passage, args.passages)))
    maker = PoolMaker(documents, size=settings.size, seed=settings.seed, k1=settings.bm25_k1, b=settings.bm25_b)
    test = read_questions(args.test)
    for_training = copy(maker)  # one index serves both
    for_training.size = settings.train_size or settings.size
    write_rows(args.out_train_oracle, fill(read_questions(args.train), for_training, "oracle", score=False))
    write_rows(args.out_test_oracle, fill(test, maker, "oracle"))
    given = read_questions(args.test_normal)
    write_rows(args.out_test_normal, fill(given, maker, "given") if given else fill(test, maker, "normal"))
    record(
        args.out_test_normal,
        settings,
        inputs=[args.passages, args.train, args.test, args.test_normal],
        others=[args.out_train_oracle, args.out_test_oracle],
    )


if __name__ == "__main__":
    program.run(main)
