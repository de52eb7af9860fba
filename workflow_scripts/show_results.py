"""Prints the result tables of a report and its path; makes no file.

Example:
    python workflow_scripts/show_results.py --page results/demo/report/index.html

The numbers are those of the report's own tables, `tables/results.csv` and `tables/memory_use.csv` beside the page.
"""

import shutil

from clara import program
from clara.evaluation.tables import read_memory_use_csv, read_results_csv
from clara.evaluation.terminal import summary


def main(argv: list[str] | None = None) -> None:
    """Reads the flag and prints."""
    flags = program.parser(__doc__)
    program.add_paths(flags, "--page")
    page = flags.parse_args(argv).page
    tables = page.parent / "tables"
    scores, uses = read_results_csv(tables / "results.csv"), read_memory_use_csv(tables / "memory_use.csv")
    print(summary(scores, uses, page, width=shutil.get_terminal_size((100, 24)).columns))


if __name__ == "__main__":
    program.run(main)
