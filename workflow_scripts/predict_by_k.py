"""Answers the test questions from the k best documents, for several k.

    python workflow_scripts/predict_by_k.py --settings "$SETTINGS" \\
        --checkpoint results/demo/joint/instruction-cr16-base/card.json \\
        --store results/demo/compression/instruction-cr16-base/manifest.json \\
        --candidates results/demo/candidates/*.test.*.jsonl \\
        --system instruction-cr16-base --state state/predict_by_k/by-hand \\
        --predictions results/demo/evaluation/predictions/instruction-cr16-base-k{1,2,3}.jsonl

Makes one file a value of k, in the order of the setting by_k. Answers of an interrupted run are kept in --state.
"""

from clara import program
from clara.config.rules import PredictByK, parse_settings
from clara.environment import record
from clara.errors import ConfigError
from clara.row_files import write_rows


def main(argv: list[str] | None = None) -> None:
    """Parses the flags and answers."""
    flags = program.parser(__doc__)
    flags.add_argument("--settings", required=True)
    flags.add_argument("--system", required=True)
    program.add_paths(flags, "--checkpoint", "--store", "--state", many=("--candidates", "--predictions"))
    given = flags.parse_args(argv)
    settings = parse_settings(PredictByK, given.settings)
    if len(given.predictions) != len(settings.by_k):
        raise ConfigError(
            f"--predictions names {len(given.predictions)} files for {len(settings.by_k)} values of k; name one each"
        )

    from clara.evaluation.answering import read_pools
    from clara.measurements.by_k import predict_by_k
    from clara.model import checkpoint

    pools = read_pools(given.candidates)
    loaded = checkpoint.load(given.checkpoint, **settings.backbone.loading(), inference=True)
    found = predict_by_k(
        given.system,
        loaded,
        given.store,
        pools,
        numbers=settings.by_k,
        generation=settings.generation,
        state=given.state,
    )
    for k, path in zip(settings.by_k, given.predictions, strict=True):
        write_rows(path, found[k])
    record(given.predictions[0], settings, inputs=[given.checkpoint, given.store, *given.candidates])


if __name__ == "__main__":
    program.run(main)
