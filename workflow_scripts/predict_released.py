"""Answers the test questions with a checkpoint of the released code.

    python workflow_scripts/predict_released.py --settings "$SETTINGS" --name official \\
        --documents results/demo/corpus/documents.parquet --candidates results/demo/candidates/*.test.*.jsonl \\
        --state state/predict_released/by-hand --predictions results/demo/evaluation/predictions/released_official.jsonl

--name is the key of evaluation.released whose settings are given; they say where the checkpoint lies. It is imported
and compresses the documents into --state; an interrupted run goes on from there.
"""

from pathlib import Path

from clara import program
from clara.config.locations import expand
from clara.config.rules import PredictReleased, parse_settings
from clara.environment import record
from clara.records import Passage
from clara.row_files import read_rows, write_rows


def main(argv: list[str] | None = None) -> None:
    """Parses the flags and answers."""
    flags = program.parser(__doc__)
    flags.add_argument("--settings", required=True)
    flags.add_argument("--name", required=True)
    program.add_paths(flags, "--documents", "--state", "--predictions", many=("--candidates",))
    given = flags.parse_args(argv)
    settings = parse_settings(PredictReleased, given.settings)

    from clara.evaluation import predict
    from clara.evaluation.answering import read_pools
    from clara.model import checkpoint
    from clara.model.compression import build_store
    from clara.model.released import import_released

    folder, store = given.state / "checkpoint", given.state / "store" / "manifest.json"
    if not (folder / "card.json").exists():
        import_released(Path(expand(settings.released.source)), folder, base=settings.released.base)
    loaded = checkpoint.load(folder / "card.json", **settings.backbone.loading(), inference=True)
    documents = read_rows(Passage, given.documents)
    build_store(loaded, documents, store, state=given.state / "shards", **settings.compression.model_dump())
    rows = predict.with_memories(
        f"released_{given.name}",
        loaded,
        store,
        read_pools(given.candidates),
        top_k=settings.top_k,
        generation=settings.generation,
        state=given.state,
    )
    write_rows(given.predictions, rows)
    record(given.predictions, settings, inputs=[given.documents, *given.candidates])


if __name__ == "__main__":
    program.run(main, resumable=True)
