"""Splits the articles of a corpus into passages.

    python workflow_scripts/split_passages.py --settings "$SETTINGS" \\
        --dump results/demo/corpus/source/dump --backbone results/demo/backbone/card.json \\
        --passages results/demo/corpus/passages.parquet --report results/demo/corpus/report.json

Makes the passages (id, title, text) and a report of what was read, kept and dropped, by reason. `$SETTINGS` is the JSON
of source, passages and document_max_tokens; of the backbone only the tokenizer is read.
"""

from clara import program
from clara.config.rules import SplitPassages, parse_settings
from clara.data.passages import Limits, split_passages
from clara.data.tally import Tally
from clara.data.tokenization import TokenCounter
from clara.environment import record
from clara.files import write_json
from clara.row_files import write_rows


def main(argv: list[str] | None = None) -> None:
    """Parses the flags and splits."""
    arguments = program.parser(__doc__)
    arguments.add_argument("--settings", required=True)
    program.add_paths(arguments, "--dump", "--backbone", "--passages", "--report")
    args = arguments.parse_args(argv)
    settings = parse_settings(SplitPassages, args.settings)
    limits = Limits(**settings.passages.model_dump(), max_tokens=settings.document_max_tokens)
    tally = Tally()
    passages = split_passages(
        args.dump,
        kind=settings.source.format,
        limits=limits,
        counter=TokenCounter.of_backbone(args.backbone),
        tally=tally,
    )
    write_rows(args.passages, passages)
    write_json(args.report, tally.report())
    record(args.passages, settings, inputs=[args.dump, args.backbone], others=[args.report])


if __name__ == "__main__":
    program.run(main)
