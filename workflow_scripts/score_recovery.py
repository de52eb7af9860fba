"""Compares rewritten documents with the originals: ROUGE-1 and -L, names, numbers, entities, BERTScore where measured.

    python workflow_scripts/score_recovery.py --settings "$SETTINGS" \\
        --rewritten results/demo/measurements/rewritten/pretraining-cr16-base.jsonl \\
        --bert-score results/demo/measurements/bert_score/pretraining-cr16-base.json \\
        --scores results/demo/measurements/recovery/pretraining-cr16-base.json

Makes one JSON file: rows of documents (seen or unseen), metric, value, low, high and n, in percent.
"""

from pathlib import Path

from clara import program
from clara.config.rules import ScoreRecovery, parse_settings
from clara.environment import record
from clara.evaluation.scoring import Resampling
from clara.files import write_json
from clara.records import Prediction
from clara.row_files import read_rows


def main(argv: list[str] | None = None) -> None:
    """Parses the flags and compares."""
    flags = program.parser(__doc__)
    flags.add_argument("--settings", required=True)
    program.add_paths(flags, "--rewritten", "--scores")
    flags.add_argument("--bert-score", type=Path, nargs="*", default=[], help="what measure_bert_score made")
    given = flags.parse_args(argv)
    settings = parse_settings(ScoreRecovery, given.settings)

    from clara.measurements import recovery

    plan = settings.scoring
    resampling = Resampling(plan.bootstrap_samples, plan.confidence, settings.seed)
    rows = read_rows(Prediction, given.rewritten)
    likeness = recovery.read_likeness(given.bert_score[0], len(rows)) if given.bert_score else None
    write_json(given.scores, recovery.score(rows, resampling, entities=settings.entities, likeness=likeness))
    record(given.scores, settings, inputs=[given.rewritten, *given.bert_score])


if __name__ == "__main__":
    program.run(main)
