"""Tests the paper's claims on a run: difference, interval and verdict of each.

Example (of whatever a run has answered so far):
    python workflow_scripts/make_scorecard.py --settings "$SETTINGS" --claims paper/claims.yaml \\
        --values paper/values/*.csv --predictions results/small/evaluation/predictions/*.jsonl \\
        --json scorecard.json --markdown scorecard.md --csv scorecard.csv --latex scorecard.tex \\
        --verdicts verdicts.json

Makes: the five files. A claim whose systems are not among the predictions is `not run`, with the commands that run it.
"""

import json
from pathlib import Path

from clara import program
from clara.config.rules import MakeScorecard, parse_settings
from clara.environment import record
from clara.evaluation.paper import departures, scorecard
from clara.evaluation.paper.claims import read_claims
from clara.evaluation.paper.commands import Run
from clara.evaluation.paper.judging import judge
from clara.evaluation.paper.measured import read_kinds
from clara.evaluation.paper.values import read_values
from clara.evaluation.scoring import Resampling
from clara.files import write_json, write_text


def main(argv: list[str] | None = None) -> None:
    """Reads the flags and judges."""
    flags = program.parser(__doc__)
    flags.add_argument("--settings", required=True, help="settings of the rule as JSON")
    flags.add_argument("--predictions", type=Path, nargs="*", default=[], help="a file a system")
    flags.add_argument("--data", type=Path, nargs="*", default=[], help="what measure_data wrote: kinds of rows")
    flags.add_argument("--equal", default="{}", help="systems that are another's under another name, as JSON")
    flags.add_argument("--departures", default="[]", help="settings of base that are not the paper's, as JSON")
    program.add_paths(flags, "--claims", "--json", "--markdown", "--csv", "--latex", "--verdicts", many=("--values",))
    given = flags.parse_args(argv)
    settings = parse_settings(MakeScorecard, given.settings)
    plan = settings.scoring
    findings = judge(
        read_claims(given.claims),
        scorecard.read_question_scores(given.predictions, plan.recall_at),
        {path.stem: read_values(path, settings.backbone) for path in given.values},
        ratios=settings.ratios,
        resampling=Resampling(plan.bootstrap_samples, plan.confidence, settings.seed),
        equal=json.loads(given.equal),
        seeds=settings.seeds,
    )
    content = scorecard.as_json(
        findings,
        run=Run(settings.run, settings.ratios, read_kinds(given.data)),
        backbone=settings.backbone,
        confidence=plan.confidence,
        departures=departures.sentence(json.loads(given.departures)),
    )
    write_json(given.json, content)
    write_text(given.markdown, scorecard.as_markdown(content))
    write_text(given.csv, scorecard.as_csv(content))
    write_text(given.latex, scorecard.as_latex(content))
    write_json(given.verdicts, scorecard.as_metrics(content))
    inputs = [given.claims, *given.values, *given.predictions, *given.data]
    others = [given.markdown, given.csv, given.latex, given.verdicts]
    record(given.json, settings, inputs=inputs, others=others)


if __name__ == "__main__":
    program.run(main)
