"""Instruction-tunes a pretrained checkpoint on questions with several documents.

    python workflow_scripts/tune_instructions.py --settings "$SETTINGS" --aside "$ASIDE" \\
        --checkpoint results/demo/pretraining/cr16-base/card.json \\
        --candidates results/demo/candidates/*.train.oracle.jsonl --state state/tune_instructions/by-hand \\
        --card results/demo/instruction/cr16-base/card.json

Makes a checkpoint in the card's folder; goes on from --state after an interruption.
"""

from collections.abc import Iterable
from pathlib import Path

from clara import program
from clara.config.rules import TuneInstructions, parse_settings
from clara.records import Prediction, Question
from clara.row_files import Rows


def main(argv: list[str] | None = None) -> None:
    """Parses the flags and trains."""
    flags = program.parser(__doc__)
    flags.add_argument("--settings", required=True)
    flags.add_argument("--aside", required=True, help="JSON of settings that decide nothing of the result")
    flags.add_argument("--teacher", type=Path, nargs="*", default=[], help="answers instead of the gold ones")
    program.add_paths(flags, "--checkpoint", "--state", "--card", many=("--candidates",))
    given = flags.parse_args(argv)
    settings = parse_settings(TuneInstructions, given.settings, given.aside)
    questions: Iterable[Question] = Rows(Question, *given.candidates)

    from clara.training import question_examples, stages

    if given.teacher:
        questions = question_examples.answered_by_teacher(questions, Rows(Prediction, *given.teacher))

    stages.tune_instructions(
        settings,
        start=given.checkpoint,
        questions=questions,
        state=given.state,
        card=given.card,
        inputs=[given.checkpoint, *given.teacher, *given.candidates],
    )


if __name__ == "__main__":
    program.run(main, resumable=True)
