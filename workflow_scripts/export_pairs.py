"""Writes the synthesized pairs in another form.

    python workflow_scripts/export_pairs.py --settings '{}' --pairs R/synthesis/pairs.parquet \\
        --export R/synthesis/exports/released.jsonl

Makes the one file: released.jsonl in the released dataset's layout, any other as our JSON lines.
"""

from clara import program
from clara.config.rules import ExportPairs, parse_settings
from clara.environment import record
from clara.records import Pair
from clara.row_files import Rows, write_rows
from clara.synthesis import published


def main(argv: list[str] | None = None) -> None:
    """Parses the flags and writes the file."""
    flags = program.parser(__doc__)
    flags.add_argument("--settings", required=True)
    program.add_paths(flags, "--pairs", "--export")
    given = flags.parse_args(argv)
    settings = parse_settings(ExportPairs, given.settings)
    rows = Rows(Pair, given.pairs)
    if given.export.name == "released.jsonl":
        published.write(given.export, rows)
    else:
        write_rows(given.export, rows)
    record(given.export, settings, inputs=[given.pairs])


if __name__ == "__main__":
    program.run(main)
