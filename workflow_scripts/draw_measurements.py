"""Draws the figures of the measurements, each as SVG and PNG, and writes the course of training as a table.

    python workflow_scripts/draw_measurements.py --settings '{}' --histories results/demo/*/*/history.jsonl \\
        --diagnostics results/demo/joint/*/diagnostics.json --measured results/demo/measurements/by_k/*.json \\
        --course results/demo/measurements/training.csv \\
        --figures results/demo/measurements/figures/{validation_loss,joint_training,by_k}.svg

--figures names files validation_loss, joint_training, logit_lens, by_k or states; each is drawn as .svg and .png.
--measured takes the files of by_k and states, and may be empty.
"""

from pathlib import Path

from clara import program
from clara.config.rules import DrawMeasurements, parse_settings
from clara.environment import record
from clara.evaluation.results import read_diagnostics
from clara.files import read_json, write_text


def main(argv: list[str] | None = None) -> None:
    """Parses the flags and draws."""
    flags = program.parser(__doc__)
    flags.add_argument("--settings", required=True)
    flags.add_argument("--measured", type=Path, nargs="*", default=[])
    program.add_paths(flags, "--course", many=("--histories", "--diagnostics", "--figures"))
    given = flags.parse_args(argv)
    settings = parse_settings(DrawMeasurements, given.settings)

    from clara.measurements import figures, training

    courses = training.read_courses(given.histories)
    found = {
        name: [read_json(path) for path in given.measured if path.parent.name == name] for name in figures.MEASURED
    }
    write_text(given.course, training.as_csv(courses))
    for path in sorted({path.with_suffix(".svg") for path in given.figures}):
        figures.draw(path, courses, read_diagnostics(given.diagnostics), found)
    record(given.course, settings, inputs=[*given.histories, *given.diagnostics, *given.measured])


if __name__ == "__main__":
    program.run(main)
