"""Answers the test questions from the text of given documents: what the compressors of Tables 1 and 5 are held against.

    python workflow_scripts/predict_given_text.py --settings "$SETTINGS" \\
        --backbone results/demo/backbone/card.json --candidates results/demo/candidates/*.test.*.jsonl \\
        --predictions results/demo/evaluation/predictions/given-text.jsonl

Makes one prediction a question, with the backbone alone, from the documents that predict_given gives.
"""

from clara import program
from clara.config.rules import Predict, parse_settings
from clara.environment import record
from clara.row_files import write_rows


def main(argv: list[str] | None = None) -> None:
    """Parses the flags and answers."""
    flags = program.parser(__doc__)
    flags.add_argument("--settings", required=True)
    program.add_paths(flags, "--backbone", "--predictions", many=("--candidates",))
    given = flags.parse_args(argv)
    settings = parse_settings(Predict, given.settings)

    from clara.evaluation import predict, selection
    from clara.evaluation.answering import read_pools
    from clara.model import backbone
    from clara.model.backbone_card import read_backbone_card

    pools = read_pools(given.candidates)
    loaded = backbone.load(read_backbone_card(given.backbone), **settings.backbone.loading())
    tasks = selection.select_given(pools, top_k=settings.top_k)
    write_rows(given.predictions, predict.with_backbone("given-text", loaded, tasks, generation=settings.generation))
    record(given.predictions, settings, inputs=[given.backbone, *given.candidates])


if __name__ == "__main__":
    program.run(main)
