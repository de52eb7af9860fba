"""Compresses documents into a store of memories.

    python workflow_scripts/compress_documents.py --settings "$SETTINGS" \\
        --checkpoint results/demo/instruction/cr16-base/card.json \\
        --documents results/demo/corpus/documents.parquet --state state/compress_documents/by-hand \\
        --manifest results/demo/compression/instruction-cr16-base/manifest.json

Makes manifest.json, the shards and documents.parquet in the manifest's folder; finished shards of an interrupted run
are kept in --state.
"""

from clara import program
from clara.config.rules import CompressDocuments, parse_settings
from clara.environment import write_provenance
from clara.records import Passage
from clara.row_files import StoredRows


def main(argv: list[str] | None = None) -> None:
    """Parses the flags and compresses."""
    flags = program.parser(__doc__)
    flags.add_argument("--settings", required=True)
    program.add_paths(flags, "--checkpoint", "--documents", "--state", "--manifest")
    given = flags.parse_args(argv)
    settings = parse_settings(CompressDocuments, given.settings)
    documents = StoredRows(Passage, given.documents)

    from clara.model import checkpoint
    from clara.model.compression import build_store

    loaded = checkpoint.load(given.checkpoint, **settings.backbone.loading(), inference=True)
    build_store(loaded, documents, given.manifest, state=given.state, **settings.compression.model_dump())
    write_provenance(
        given.manifest.parent,
        settings.model_dump(),
        seed=None,
        inputs=[given.checkpoint, given.documents],
        outputs=[given.manifest],
    )


if __name__ == "__main__":
    program.run(main, resumable=True)
