"""Prints the result tables of a run and the path of its report; makes no file.

Example:
    python workflow_scripts/show_results.py --metrics results/demo/evaluation/metrics/*.json \\
        --memory-use results/demo/*/*/memory_use.json --page results/demo/report/index.html
"""

import shutil

from clara import program
from clara.evaluation.results import read_memory_use, read_scores
from clara.evaluation.terminal import summary


def main(argv: list[str] | None = None) -> None:
    """Reads the flags and prints."""
    flags = program.parser(__doc__)
    program.add_paths(flags, "--page", many=("--metrics", "--memory-use"))
    given = flags.parse_args(argv)
    width = shutil.get_terminal_size((100, 24)).columns
    print(summary(read_scores(given.metrics), read_memory_use(given.memory_use), given.page, width=width))


if __name__ == "__main__":
    program.run(main)
