"""Trains query reasoner and generator jointly, from stored memories.

    python workflow_scripts/train_joint.py --settings "$SETTINGS" --aside "$ASIDE" \\
        --checkpoint results/demo/instruction/cr16-base/card.json \\
        --store results/demo/compression/instruction-cr16-base/manifest.json \\
        --candidates results/demo/candidates/*.train.oracle.jsonl --state state/train_joint/by-hand \\
        --card results/demo/joint/instruction-cr16-base/card.json

Makes a checkpoint in the card's folder; goes on from --state after an interruption.
"""

from clara import program
from clara.config.rules import TrainJoint, parse_settings
from clara.records import Question
from clara.row_files import Rows


def main(argv: list[str] | None = None) -> None:
    """Parses the flags and trains."""
    flags = program.parser(__doc__)
    flags.add_argument("--settings", required=True)
    flags.add_argument("--aside", required=True, help="JSON of settings that decide nothing of the result")
    program.add_paths(flags, "--checkpoint", "--store", "--state", "--card", many=("--candidates",))
    given = flags.parse_args(argv)
    settings = parse_settings(TrainJoint, given.settings, given.aside)

    from clara.training import stages

    stages.train_joint(
        settings,
        start=given.checkpoint,
        store=given.store,
        questions=Rows(Question, *given.candidates),
        state=given.state,
        card=given.card,
        inputs=[given.checkpoint, given.store, *given.candidates],
    )


if __name__ == "__main__":
    program.run(main, resumable=True)
