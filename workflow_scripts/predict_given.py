"""Answers the test questions from the memories of given documents: how good a compressor is by itself.

    python workflow_scripts/predict_given.py --settings "$SETTINGS" \\
        --checkpoint results/demo/pretraining/cr16-base/card.json \\
        --store results/demo/compression/pretraining-cr16-base/manifest.json \\
        --candidates results/demo/candidates/*.test.*.jsonl \\
        --system given-pretraining-cr16-base --state state/predict_given/by-hand \\
        --predictions results/demo/evaluation/predictions/given-pretraining-cr16-base.jsonl

Makes one prediction a question, with a checkpoint of any stage. Answers of an interrupted run are kept in --state.
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

    from clara.evaluation import predict, selection
    from clara.evaluation.answering import read_pools
    from clara.model import checkpoint

    pools = read_pools(given.candidates)
    loaded = checkpoint.load(given.checkpoint, **settings.backbone.loading(), inference=True)
    tasks = selection.select_given(pools, top_k=settings.top_k)
    store = predict.whole_store(loaded, given.store)
    rows = predict.from_memories(given.system, loaded, store, tasks, generation=settings.generation, state=given.state)
    write_rows(given.predictions, rows)
    record(given.predictions, settings, inputs=[given.checkpoint, given.store, *given.candidates])


if __name__ == "__main__":
    program.run(main)
