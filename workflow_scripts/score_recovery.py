"""Compares rewritten documents with the originals: ROUGE-1 and -L, entities, numbers, and BERTScore if it is asked for.

    python workflow_scripts/score_recovery.py --settings "$SETTINGS" \\
        --rewritten results/demo/measurements/recovery/pretraining-cr16-base.jsonl \\
        --scores results/demo/measurements/recovery/pretraining-cr16-base.json

Makes one JSON file: rows of documents (seen or unseen), metric, value, low, high and n, in percent.
"""

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
    given = flags.parse_args(argv)
    settings = parse_settings(ScoreRecovery, given.settings)

    from clara.measurements import recovery

    plan = settings.scoring
    resampling = Resampling(plan.bootstrap_samples, plan.confidence, settings.seed)
    rows = read_rows(Prediction, given.rewritten)
    write_json(given.scores, recovery.score(rows, settings.recovery, resampling))
    record(given.scores, settings, inputs=[given.rewritten])


if __name__ == "__main__":
    program.run(main)
