"""Builds the report of a run: tables, figures, and one page that opens without network.

Example (a rule lists the files; by hand):
    python workflow_scripts/build_report.py --settings "$(cat settings.json)" \\
        --metrics R/evaluation/metrics/*.json --predictions R/evaluation/predictions/*.jsonl \\
        --histories R/*/*/history.jsonl --memory-use R/*/*/memory_use.json --diagnostics R/*/*/diagnostics.json \\
        --candidates R/candidates/*.test.*.jsonl \\
        --corpus-report R/corpus/report.json --synthesis-report R/synthesis/report.json \\
        --scorecard R/paper/scorecard.json --paper-tables R/paper/table_*.csv --specifications paper/tables/*.yaml \\
        --page R/report/index.html --results-csv R/report/tables/results.csv …

Makes: the page, three files for each of three tables (four with --seeds), four figures as SVG and as PNG, and `files/`
beside the page with copies of what it offers of other steps, so that its folder can be moved as it is.
"""

from pathlib import Path

from clara import program
from clara.config.rules import BuildReport, parse_settings
from clara.environment import record
from clara.evaluation.report import Inputs, Options, Outputs, build_report
from clara.evaluation.scoring import Resampling

MANY = ("metrics", "histories", "memory_use", "diagnostics", "predictions", "candidates", "specifications")
OPTIONAL = ("paper_tables", "data", "paper_figures", "seeds", "samples", "numbers")


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def main(argv: list[str] | None = None) -> None:
    """Reads the flags and builds the report."""
    flags = program.parser(__doc__)
    flags.add_argument("--settings", required=True, help="settings of the rule as JSON")
    names = [*Inputs._fields, *Outputs._fields]
    single = [_flag(name) for name in names if name not in (*MANY, *OPTIONAL)]
    program.add_paths(flags, *single, many=tuple(map(_flag, MANY)))
    flags.add_argument("--paper-tables", type=Path, nargs="*", default=[], help="filled tables of the paper, CSV")
    flags.add_argument("--data", type=Path, nargs="*", default=[], help="what measure_data wrote")
    flags.add_argument("--paper-figures", type=Path, nargs="*", default=[], help="the paper's figures of this run, SVG")
    flags.add_argument("--seeds", type=Path, nargs="*", default=[], help="what aggregate_seeds wrote, JSON")
    flags.add_argument("--samples", type=Path, nargs="*", default=[], help="the page that review_pairs wrote")
    flags.add_argument(
        "--numbers", type=Path, nargs="*", default=[], help="further files behind what is shown of the paper"
    )
    given = flags.parse_args(argv)
    settings = parse_settings(BuildReport, given.settings)
    plan = settings.scoring
    site = build_report(
        Inputs(*(getattr(given, name) for name in Inputs._fields)),
        Outputs(*(getattr(given, name) for name in Outputs._fields)),
        Options(
            title=settings.report.title,
            run=settings.run,
            license=settings.license,
            questions_shown=settings.report.questions_shown,
            recall_cuts=plan.recall_at,
            resampling=Resampling(plan.bootstrap_samples, plan.confidence, settings.seed),
        ),
    )
    read = [path for name in (*MANY, *OPTIONAL) for path in getattr(given, name)]
    read += [given.corpus_report, given.synthesis_report, given.scorecard, *site.copies]
    others = [getattr(given, name) for name in Outputs._fields if name != "page"]
    record(
        given.page,
        settings,
        inputs=list(dict.fromkeys(read)),
        others=[*others, *site.seeds, *site.copies.values()],
    )


if __name__ == "__main__":
    program.run(main)
