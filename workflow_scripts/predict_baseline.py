"""Answers the test questions with the backbone alone or with the text of BM25's best documents.

    python workflow_scripts/predict_baseline.py --settings "$SETTINGS" --baseline text_rag \\
        --backbone results/demo/backbone/card.json --candidates results/demo/candidates/*.test.*.jsonl \\
        --predictions results/demo/evaluation/predictions/text_rag.jsonl

Makes one prediction a question. --baseline is no_retrieval, text_rag or text_rag_tuned; the last needs --checkpoint,
what tune_text_rag made.
"""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from clara import program
from clara.config.rules import PredictBaseline, parse_settings
from clara.environment import record
from clara.errors import ConfigError
from clara.row_files import write_rows


def main(argv: list[str] | None = None) -> None:
    """Parses the flags and answers."""
    flags = program.parser(__doc__)
    flags.add_argument("--settings", required=True)
    flags.add_argument("--baseline", required=True, choices=("no_retrieval", "text_rag", "text_rag_tuned"))
    flags.add_argument("--checkpoint", type=Path, nargs="*", default=[])
    program.add_paths(flags, "--backbone", "--predictions", many=("--candidates",))
    given = flags.parse_args(argv)
    settings = parse_settings(PredictBaseline, given.settings)
    if (settings.top_k is None) != (given.baseline == "no_retrieval"):
        raise ConfigError(
            f"top_k is {settings.top_k} in --settings: those of another baseline than {given.baseline}; pass its own, "
            "null for no_retrieval"
        )

    from clara.evaluation import predict, selection
    from clara.evaluation.answering import read_pools
    from clara.model import backbone, checkpoint
    from clara.model.adapters import GENERATOR
    from clara.model.backbone_card import read_backbone_card

    pools = read_pools(given.candidates)
    merged: AbstractContextManager[object] = nullcontext()
    generation = settings.generation
    if given.baseline == "text_rag_tuned":
        if len(given.checkpoint) != 1:
            raise ConfigError("text_rag_tuned needs one --checkpoint, the card that tune_text_rag made")
        tuned = checkpoint.load(*given.checkpoint, **settings.backbone.loading(), inference=True).model
        loaded, merged = tuned.backbone, tuned.adapters.merged(GENERATOR)
        generation = generation.model_copy(update={"engine": "transformers"})  # vLLM would read the bare backbone
    else:
        loaded = backbone.load(read_backbone_card(given.backbone), **settings.backbone.loading())
    if settings.top_k is None:
        tasks = selection.without_documents(pools)
    else:
        tasks = selection.select_with_bm25(pools, top_k=settings.top_k)
    with merged:
        rows = predict.with_backbone(given.baseline, loaded, tasks, generation=generation)
    write_rows(given.predictions, rows)
    record(given.predictions, settings, inputs=[given.backbone, *given.checkpoint, *given.candidates])


if __name__ == "__main__":
    program.run(main)
