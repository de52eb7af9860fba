"""Fills a table of the paper with our numbers beside the paper's.

Example (of whatever a run has made so far, finished or not):
    python workflow_scripts/make_paper_table.py --settings "$SETTINGS" --table paper/tables/table_2.yaml \\
        --values paper/values/table_2.csv --results results/small/evaluation/metrics/*.json \\
        --csv table_2.csv --markdown table_2.md --latex table_2.tex --diff table_2.diff.md \\
        --macros table_2.macros.tex --numbers table_2.json

Makes: the six files. --results may be left empty: the table then holds the paper's numbers and the commands for ours.
"""

import json
from pathlib import Path

from clara import program
from clara.config.rules import MakePaperTable, parse_settings
from clara.environment import record
from clara.evaluation.paper import departures, writing
from clara.evaluation.paper.commands import Run
from clara.evaluation.paper.filling import fill
from clara.evaluation.paper.measured import read_kinds, read_measured
from clara.evaluation.paper.specs import read_table
from clara.evaluation.paper.values import read_values
from clara.evaluation.ratios import read_effective
from clara.files import write_json, write_text


def main(argv: list[str] | None = None) -> None:
    """Reads the flags and fills the table."""
    flags = program.parser(__doc__)
    flags.add_argument("--settings", required=True, help="settings of the rule as JSON")
    flags.add_argument("--results", type=Path, nargs="*", default=[], help="files that our numbers come from")
    flags.add_argument("--data", type=Path, nargs="*", default=[], help="what measure_data wrote")
    flags.add_argument("--equal", default="{}", help="systems that are another's under another name, as JSON")
    flags.add_argument("--departures", default="[]", help="settings of base that are not the paper's, as JSON")
    program.add_paths(flags, "--table", "--values", "--csv", "--markdown", "--latex", "--diff", "--macros", "--numbers")
    given = flags.parse_args(argv)
    settings = parse_settings(MakePaperTable, given.settings)
    table = read_table(given.table)
    filled = fill(
        table,
        read_values(given.values, settings.backbone),
        read_measured(table.source, given.results),
        run=Run(settings.run, settings.ratios, read_kinds(given.data)),
        backbone=settings.backbone,
        equal=json.loads(given.equal),
    )._replace(
        effective=read_effective(given.data),
        departures=departures.sentence(json.loads(given.departures)),
    )
    write_text(given.csv, writing.table_csv(filled))
    write_text(given.markdown, writing.markdown(filled, completing=filled.completing))
    write_text(given.latex, writing.latex(filled))
    write_text(given.diff, writing.difference_markdown(filled))
    write_text(given.macros, writing.macros(filled))
    write_json(given.numbers, writing.as_json(filled))
    others = [given.markdown, given.latex, given.diff, given.macros, given.numbers]
    record(given.csv, settings, inputs=[given.table, given.values, *given.results, *given.data], others=others)


if __name__ == "__main__":
    program.run(main)
