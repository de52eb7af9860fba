"""Scores the answers from k documents, for every k.

    python workflow_scripts/score_by_k.py --settings "$SETTINGS" \\
        --predictions results/demo/evaluation/predictions/instruction-cr16-base-k*.jsonl \\
        --scores results/demo/measurements/by_k/instruction-cr16-base.json

Makes one JSON file: rows of k, benchmark, setting, metric, value, low, high and n; `recall` is that at k.
"""

from clara import program
from clara.config.rules import ScoreByK, parse_settings
from clara.environment import record
from clara.evaluation.scoring import Resampling
from clara.files import write_json
from clara.records import Prediction
from clara.row_files import read_rows


def main(argv: list[str] | None = None) -> None:
    """Parses the flags and scores."""
    flags = program.parser(__doc__)
    flags.add_argument("--settings", required=True)
    program.add_paths(flags, "--scores", many=("--predictions",))
    given = flags.parse_args(argv)
    settings = parse_settings(ScoreByK, given.settings)

    from clara.measurements.by_k import score_by_k

    plan = settings.scoring
    resampling = Resampling(plan.bootstrap_samples, plan.confidence, settings.seed)
    rows = [read_rows(Prediction, path) for path in given.predictions]
    write_json(given.scores, score_by_k(rows, resampling))
    record(given.scores, settings, inputs=given.predictions)


if __name__ == "__main__":
    program.run(main)
