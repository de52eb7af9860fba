"""Compares rewritten documents with the originals by an encoder: BERTScore.

    python workflow_scripts/measure_bert_score.py --settings "$SETTINGS" \\
        --rewritten results/demo/measurements/rewritten/pretraining-cr16-base.jsonl \\
        --measured results/demo/measurements/bert_score/pretraining-cr16-base.json

Makes one JSON file: the encoder, the layer that was compared, and F1 of each row.
"""

from clara import program
from clara.config.rules import MeasureBertScore, parse_settings
from clara.environment import record
from clara.errors import ConfigError
from clara.files import write_json
from clara.records import Prediction
from clara.row_files import read_rows


def main(argv: list[str] | None = None) -> None:
    """Parses the flags and measures."""
    flags = program.parser(__doc__)
    flags.add_argument("--settings", required=True)
    program.add_paths(flags, "--rewritten", "--measured")
    given = flags.parse_args(argv)
    settings = parse_settings(MeasureBertScore, given.settings)
    if settings.encoder is None:
        raise ConfigError("measurements.recovery.bert_score = None: should name an encoder, such as roberta-large")

    from clara.measurements.bert_score import BertScore
    from clara.model import threads

    threads.use(settings.cpu_threads)
    judged = BertScore(settings.encoder, layer=settings.layer)
    pairs = [(row.prediction or "", row.golden_answers[0]) for row in read_rows(Prediction, given.rewritten)]
    write_json(given.measured, {"encoder": settings.encoder, "layer": judged.layer, "f1": judged.f1(pairs)})
    record(given.measured, settings, inputs=[given.rewritten])


if __name__ == "__main__":
    program.run(main)
