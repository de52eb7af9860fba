"""Draws one figure of the measurements, as SVG and PNG, of what there is; one that has nothing to show says so.

    python workflow_scripts/draw_figure.py --settings '{}' --histories results/demo/*/*/history.jsonl \\
        --diagnostics results/demo/joint/*/diagnostics.json --metrics results/demo/evaluation/metrics/*.json \\
        --measured results/demo/measurements/by_k/*.json --figure results/demo/figures/by_k.svg

The name of --figure says which: validation_loss, joint_training, recall_bars, logit_lens, by_k or states; the PNG lies
beside it. --measured takes the files of by_k or states, and may be empty: the figure then shows the command.
"""

from pathlib import Path

from clara import program
from clara.config.rules import DrawFigure, parse_settings
from clara.environment import record
from clara.evaluation.paper.commands import command_for
from clara.evaluation.results import read_diagnostics, read_scores
from clara.files import read_json

ABLATIONS = "configs/ablations.yaml"
"""Where the variant without the alignment loss stands, beside which the figure of states shows base."""


def main(argv: list[str] | None = None) -> None:
    """Parses the flags and draws."""
    flags = program.parser(__doc__)
    flags.add_argument("--settings", required=True)
    for name in ("--histories", "--diagnostics", "--metrics", "--measured"):
        flags.add_argument(name, type=Path, nargs="*", default=[])
    program.add_paths(flags, "--figure")
    given = flags.parse_args(argv)
    settings = parse_settings(DrawFigure, given.settings)

    from clara.measurements import figures, training

    courses = training.read_courses(given.histories)
    found = {
        name: [read_json(path) for path in given.measured if path.parent.name == name] for name in figures.MEASURED
    }
    scores = read_scores(given.metrics) if given.metrics else []
    which = {"measurements": {"which": [given.figure.stem]}}
    run, over = given.figure.parent.parent.name, [ABLATIONS] if given.figure.stem == "states" else []
    command = command_for([str(given.figure)], run, settings=which, over=over)
    figures.draw(given.figure, courses, read_diagnostics(given.diagnostics), scores, found, command=command)
    inputs = [*given.histories, *given.diagnostics, *given.metrics, *given.measured]
    record(given.figure, settings, inputs=inputs, others=[given.figure.with_suffix(".png")])


if __name__ == "__main__":
    program.run(main)
