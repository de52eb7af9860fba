"""Ranks every question's candidates by a trained model that is not ours: retrieval baselines.

    python workflow_scripts/rank_neural.py --settings "$SETTINGS" --ranker dense \\
        --candidates results/demo/candidates/*.test.*.jsonl \\
        --predictions results/demo/evaluation/predictions/dense.jsonl

Makes one prediction a question, with a ranking and no answer. --ranker is dense (a bi-encoder, evaluation.dense) or
cross_encoder (evaluation.cross_encoder).
"""

from clara import program
from clara.config.evaluation import Dense
from clara.config.rules import RankNeural, parse_settings
from clara.data.candidates import rank_by
from clara.environment import record
from clara.errors import ConfigError
from clara.row_files import write_rows


def main(argv: list[str] | None = None) -> None:
    """Parses the flags and ranks."""
    flags = program.parser(__doc__)
    flags.add_argument("--settings", required=True)
    flags.add_argument("--ranker", required=True, choices=("dense", "cross_encoder"))
    program.add_paths(flags, "--predictions", many=("--candidates",))
    given = flags.parse_args(argv)
    settings = parse_settings(RankNeural, given.settings)
    if isinstance(settings.ranker, Dense) != (given.ranker == "dense"):
        raise ConfigError(f"--ranker {given.ranker} needs the settings of evaluation.{given.ranker}")

    from clara.evaluation import other_models
    from clara.model import threads

    threads.use(settings.cpu_threads)
    ranker: other_models.BiEncoder | other_models.CrossEncoder
    if isinstance(settings.ranker, Dense):
        ranker = other_models.BiEncoder(
            other_models.load(settings.ranker, "bi-encoder", setting="evaluation.dense"),
            pooling=settings.ranker.pooling,
            question_prefix=settings.ranker.question_prefix,
            document_prefix=settings.ranker.document_prefix,
        )
    else:
        ranker = other_models.CrossEncoder(
            other_models.load(settings.ranker, "cross-encoder", setting="evaluation.cross_encoder")
        )
    write_rows(
        given.predictions,
        rank_by(given.ranker, given.candidates, lambda asked: ranker.scores(asked.question, asked.docs)),
    )
    record(given.predictions, settings, inputs=given.candidates)


if __name__ == "__main__":
    program.run(main)
