"""Answers the test questions from stored memories.

    python workflow_scripts/predict.py --settings "$SETTINGS" \\
        --checkpoint results/demo/joint/instruction-cr16-base/card.json \\
        --store results/demo/compression/instruction-cr16-base/manifest.json \\
        --candidates results/demo/candidates/*.test.*.jsonl \\
        --system instruction-cr16-base --state state/predict/by-hand \\
        --predictions results/demo/evaluation/predictions/instruction-cr16-base.jsonl

Makes one prediction a question: the ranking of its documents, those selected, and the answer. Answers of an
interrupted run are kept in --state.
"""

from clara import program
from clara.config.rules import Predict, parse_settings
from clara.environment import record
from clara.row_files import write_rows


def main(argv: list[str] | None = None) -> None:
    """Parses the flags and answers."""
    flags = program.parser(__doc__)
    flags.add_argument("--settings", required=True)
    flags.add_argument("--system", required=True)
    program.add_paths(flags, "--checkpoint", "--store", "--state", "--predictions", many=("--candidates",))
    given = flags.parse_args(argv)
    settings = parse_settings(Predict, given.settings)

    from clara.evaluation import predict
    from clara.evaluation.answering import read_pools
    from clara.model import checkpoint

    pools = read_pools(given.candidates)
    loaded = checkpoint.load(given.checkpoint, **settings.backbone.loading(), inference=True)
    rows = predict.with_memories(
        given.system,
        loaded,
        given.store,
        pools,
        top_k=settings.top_k,
        generation=settings.generation,
        state=given.state,
    )
    write_rows(given.predictions, rows)
    record(given.predictions, settings, inputs=[given.checkpoint, given.store, *given.candidates])


if __name__ == "__main__":
    program.run(main, resumable=True)
