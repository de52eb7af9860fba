"""Measures whether answers stand in the documents they were made from: by words, and by a judge where one is set.

    python workflow_scripts/score_grounding.py --settings "$SETTINGS" \\
        --predictions results/demo/evaluation/predictions/instruction-cr16-base.jsonl \\
        --candidates results/demo/candidates/*.test.*.jsonl --state state/score_grounding/by-hand \\
        --scores results/demo/measurements/grounding/instruction-cr16-base.json

Makes one JSON file: rows of benchmark, setting, metric, value, low, high and n, in percent. The judge's replies are
kept in --state; its key is read from $OPENAI_API_KEY.
"""

from clara import program
from clara.config.rules import ScoreGrounding, parse_settings
from clara.environment import record
from clara.evaluation.answering import read_pools
from clara.evaluation.questions import by_id
from clara.evaluation.scoring import Resampling
from clara.files import write_json
from clara.records import Prediction
from clara.row_files import read_rows


def main(argv: list[str] | None = None) -> None:
    """Parses the flags and measures."""
    flags = program.parser(__doc__)
    flags.add_argument("--settings", required=True)
    program.add_paths(flags, "--predictions", "--state", "--scores", many=("--candidates",))
    given = flags.parse_args(argv)
    settings = parse_settings(ScoreGrounding, given.settings)

    from clara.measurements import grounding
    from clara.measurements.judge import ServedJudge

    plan, asked = settings.scoring, settings.grounding
    judge = None
    if asked.judge is not None:
        judge = ServedJudge(asked.judge.base_url, asked.judge.model, replies=given.state / "replies.jsonl")
    found = grounding.measure(
        read_rows(Prediction, given.predictions),
        by_id(read_pools(given.candidates)),
        Resampling(plan.bootstrap_samples, plan.confidence, settings.seed),
        judge=judge,
        judged=asked.questions,
    )
    write_json(given.scores, found)
    record(given.scores, settings, inputs=[given.predictions, *given.candidates])


if __name__ == "__main__":
    program.run(main)
