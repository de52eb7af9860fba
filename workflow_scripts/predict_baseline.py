"""Answers the test questions with the backbone alone or with the text of BM25's best documents.

    python workflow_scripts/predict_baseline.py --settings "$SETTINGS" --baseline text_rag \\
        --backbone results/demo/backbone/card.json --candidates results/demo/candidates/*.test.*.jsonl \\
        --predictions results/demo/evaluation/predictions/text_rag.jsonl

Makes one prediction a question. --baseline is no_retrieval or text_rag.
"""

from clara import program
from clara.config.rules import PredictBaseline, parse_settings
from clara.environment import record
from clara.records import write_rows


def main(argv: list[str] | None = None) -> None:
    """Parses the flags and answers."""
    flags = program.parser(__doc__)
    flags.add_argument("--settings", required=True)
    flags.add_argument("--baseline", required=True, choices=("no_retrieval", "text_rag"))
    program.add_paths(flags, "--backbone", "--predictions", many=("--candidates",))
    given = flags.parse_args(argv)
    settings = parse_settings(PredictBaseline, given.settings)

    from clara.evaluation import predict
    from clara.model import backbone

    pools = predict.read_pools(given.candidates)
    loaded = backbone.load(backbone.read_card(given.backbone), **settings.backbone.loading())
    if given.baseline == "text_rag":
        tasks = predict.select_with_bm25(pools, top_k=settings.top_k, k1=settings.bm25_k1, b=settings.bm25_b)
    else:
        tasks = predict.without_documents(pools)
    rows = predict.with_backbone(given.baseline, loaded, tasks, generation=settings.generation)
    write_rows(given.predictions, rows)
    record(given.predictions, settings, inputs=[given.backbone, *given.candidates])


if __name__ == "__main__":
    program.run(main)
