"""Measures how far memories lie from their documents in the space of last hidden states.

    python workflow_scripts/measure_states.py --settings "$SETTINGS" \\
        --checkpoint results/demo/pretraining/cr16-base/card.json \\
        --documents results/demo/corpus/documents.parquet \\
        --states results/demo/measurements/states/pretraining-cr16-base.json

Makes one JSON file: squared distance, cosine and mixing of the two kinds of mean states, and each in two dimensions.
"""

from clara import program
from clara.config.rules import MeasureStates, parse_settings
from clara.environment import record
from clara.files import write_json
from clara.records import Passage
from clara.row_files import read_rows


def main(argv: list[str] | None = None) -> None:
    """Parses the flags and measures."""
    flags = program.parser(__doc__)
    flags.add_argument("--settings", required=True)
    program.add_paths(flags, "--checkpoint", "--documents", "--states")
    given = flags.parse_args(argv)
    settings = parse_settings(MeasureStates, given.settings)
    documents = read_rows(Passage, given.documents)[
        : settings.states.documents
    ]  # in the order of ids, which are hashes

    from clara.measurements import states
    from clara.model import checkpoint

    loaded = checkpoint.load(given.checkpoint, **settings.backbone.loading(), inference=True)
    found = states.measure(
        loaded.model,
        [passage.document for passage in documents],
        projection=settings.states.projection,
        seed=settings.seed,
    )
    write_json(given.states, {"checkpoint": given.states.stem} | found)
    record(given.states, settings, inputs=[given.checkpoint, given.documents])


if __name__ == "__main__":
    program.run(main)
