"""Rewrites documents from their memories alone: what of a text is still there after compression.

    python workflow_scripts/rewrite_documents.py --settings "$SETTINGS" --aside "$ASIDE" \\
        --checkpoint results/demo/pretraining/cr16-base/card.json --pairs results/demo/synthesis/pairs.parquet \\
        --candidates results/demo/candidates/*.test.oracle.jsonl \\
        --system pretraining-cr16-base --state state/rewrite_documents/by-hand \\
        --rewritten results/demo/measurements/rewritten/pretraining-cr16-base.jsonl

Makes predictions whose benchmark is seen (documents that pretraining learned from) or unseen, and whose gold answer is
the document. What an interrupted run wrote is kept in --state.
"""

from clara import program
from clara.config.rules import RewriteDocuments, parse_settings
from clara.environment import record
from clara.records import Pair, Question
from clara.row_files import Rows, read_rows, write_rows


def main(argv: list[str] | None = None) -> None:
    """Parses the flags and rewrites."""
    flags = program.parser(__doc__)
    flags.add_argument("--settings", required=True)
    flags.add_argument("--aside", required=True, help="JSON of settings that decide nothing of the result")
    flags.add_argument("--system", required=True)
    program.add_paths(flags, "--checkpoint", "--state", "--rewritten", many=("--pairs", "--candidates"))
    given = flags.parse_args(argv)
    settings = parse_settings(RewriteDocuments, given.settings, given.aside)
    questions = [row for path in given.candidates for row in read_rows(Question, path)]

    from clara.measurements import recovery
    from clara.model import checkpoint

    loaded = checkpoint.load(given.checkpoint, **settings.backbone.loading(), inference=True)
    documents = recovery.choose(Rows(Pair, *given.pairs), questions, settings)
    rows = recovery.rewrite(
        given.system,
        loaded,
        documents,
        max_new_tokens=settings.max_new_tokens,
        batch_size=settings.batch_size,
        state=given.state,
    )
    write_rows(given.rewritten, rows)
    record(given.rewritten, settings, inputs=[given.checkpoint, *given.pairs, *given.candidates])


if __name__ == "__main__":
    program.run(main)
