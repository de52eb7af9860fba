"""Tunes the backbone by LoRA on answering from the documents' text: the fair text baseline.

    python workflow_scripts/tune_text_rag.py --settings "$SETTINGS" --aside "$ASIDE" \\
        --backbone results/demo/backbone/card.json --candidates results/demo/candidates/*.train.oracle.jsonl \\
        --state state/tune_text_rag/by-hand --card results/demo/text_rag/card.json

Makes a checkpoint in the card's folder; goes on from --state after an interruption.
"""

from clara import program
from clara.config.rules import TuneTextRag, parse_settings
from clara.records import Question
from clara.row_files import Rows


def main(argv: list[str] | None = None) -> None:
    """Parses the flags and trains."""
    flags = program.parser(__doc__)
    flags.add_argument("--settings", required=True)
    flags.add_argument("--aside", required=True, help="JSON of settings that decide nothing of the result")
    program.add_paths(flags, "--backbone", "--state", "--card", many=("--candidates",))
    given = flags.parse_args(argv)
    settings = parse_settings(TuneTextRag, given.settings, given.aside)

    from clara.training.text_rag import tune_text_rag

    tune_text_rag(
        settings,
        backbone=given.backbone,
        questions=Rows(Question, *given.candidates),
        state=given.state,
        card=given.card,
        inputs=[given.backbone, *given.candidates],
    )


if __name__ == "__main__":
    program.run(main, resumable=True)
