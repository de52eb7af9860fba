"""Fetches the corpus file and verifies it.

    python workflow_scripts/fetch_corpus.py \\
        --settings '{"source": {"location": "package:gensim/…", "sha256": null, "format": "mediawiki"}}' \\
        --dump results/demo/corpus/source/dump --card results/demo/corpus/source/card.json

Makes the dump, byte for byte as its source has it, and a card with location, SHA-256 and size. An interrupted download
leaves `.dump.download` beside the dump and goes on from there.
"""

from clara import program
from clara.config.rules import FetchCorpus, parse_settings
from clara.data.fetch import fetch
from clara.environment import record
from clara.files import write_json


def main(argv: list[str] | None = None) -> None:
    """Parses the flags and fetches."""
    arguments = program.parser(__doc__)
    arguments.add_argument("--settings", required=True)
    program.add_paths(arguments, "--dump", "--card")
    args = arguments.parse_args(argv)
    settings = parse_settings(FetchCorpus, args.settings)
    source = settings.source
    write_json(args.card, fetch(source.location, args.dump, sha256=source.sha256)._asdict())
    record(args.dump, settings, inputs=[], others=[args.card])


if __name__ == "__main__":
    program.run(main)
