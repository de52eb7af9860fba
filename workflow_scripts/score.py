"""Scores the predictions of one system: EM, F1, cover-EM and recall with bootstrap intervals.

Example:
    python workflow_scripts/score.py --predictions results/demo/evaluation/predictions/bm25.jsonl \\
        --metrics results/demo/evaluation/metrics/bm25.json \\
        --settings '{"seed": 42, "scoring": {"recall_at": [1, 3, 5], "bootstrap_samples": 2000, "confidence": 0.95}}'

Makes: the metrics file.
"""

from clara import program
from clara.config.rules import Score, parse_settings
from clara.environment import record
from clara.evaluation.scoring import Resampling, score_file


def main(argv: list[str] | None = None) -> None:
    """Reads the flags and scores."""
    flags = program.parser(__doc__)
    flags.add_argument("--settings", required=True, help="settings of the rule as JSON")
    program.add_paths(flags, "--predictions", "--metrics")
    given = flags.parse_args(argv)
    settings = parse_settings(Score, given.settings)
    plan = settings.scoring
    score_file(
        given.predictions,
        given.metrics,
        recall_cuts=plan.recall_at,
        resampling=Resampling(plan.bootstrap_samples, plan.confidence, settings.seed),
    )
    record(given.metrics, settings, inputs=[given.predictions])


if __name__ == "__main__":
    program.run(main)
