"""Measures our path against the plain one, search in a large store, and when compression pays.

    python workflow_scripts/bench.py --backbone results/demo/backbone/card.json \\
        --documents results/demo/corpus/documents.parquet \\
        --candidates results/demo/candidates/nq.test.oracle.jsonl --output results/bench

Makes throughput.json, works.json, search.json, break_even.json and README.md in --output. With --checkpoint and
--store, of a trained joint stage and the store that it reads, store_types.json alone: Recall@5 and F1 by type.
"""

from pathlib import Path

from clara import program

PARTS = ("throughput", "works", "search", "break_even")


def main(argv: list[str] | None = None) -> None:
    """Parses the flags and measures."""
    flags = program.parser(__doc__)
    program.add_paths(flags, "--backbone", "--documents", "--output", many=("--candidates",))
    flags.add_argument("--checkpoint", type=Path, help="card of a trained joint stage")
    flags.add_argument("--store", type=Path, help="manifest of the store that it reads")
    flags.add_argument(
        "--pairs", type=Path, help="synthesized pairs, whose questions are asked of the types of store too"
    )
    flags.add_argument("--dtype", default="bfloat16")
    flags.add_argument("--attention", default="sdpa")
    flags.add_argument("--rounds", type=int, default=2, help="pairs of timings of each work")
    flags.add_argument("--count", type=int, default=100_000, help="documents of the store that is searched")
    flags.add_argument("--batches", type=int, nargs="+", default=[1, 32], help="questions answered together")
    flags.add_argument("--parts", nargs="+", default=PARTS, choices=PARTS, help="what is measured")
    flags.add_argument("--compile", action="store_true", help="compile the model's body, as backbone.compile does")
    flags.add_argument("--profile", action="store_true", help="write where the time goes to profile.txt")
    given = flags.parse_args(argv)

    from clara.bench import run

    if given.checkpoint and given.store:
        run.store_types(
            given.checkpoint, given.store, given.candidates, given.output, dtype=given.dtype, pairs=given.pairs
        )
        return
    run.everything(
        given.backbone,
        given.documents,
        given.candidates,
        given.output,
        dtype=given.dtype,
        attention=given.attention,
        rounds=given.rounds,
        count=given.count,
        batches=given.batches,
        parts=given.parts,
        compiled=given.compile,
        profiled=given.profile,
    )


if __name__ == "__main__":
    program.run(main)
