"""Answers the test questions from the text of given documents, cut to the tokens of a memory.

    python workflow_scripts/predict_given_compressed_text.py --settings "$SETTINGS" --method hard_words --ratio 16 \\
        --backbone results/demo/backbone/card.json --candidates results/demo/candidates/*.test.*.jsonl \\
        --predictions results/demo/evaluation/predictions/given-hard_words_cr16.jsonl

Makes one prediction a question, from the documents that predict_given gives, cut as predict_compressed_text cuts: hard
compression beside the compressors of Tables 1 and 5.
"""

from clara import program
from clara.config.evaluation import PER_RATIO
from clara.config.rules import PredictCompressedText, parse_settings
from clara.environment import record
from clara.row_files import write_rows


def main(argv: list[str] | None = None) -> None:
    """Parses the flags and answers."""
    flags = program.parser(__doc__)
    flags.add_argument("--settings", required=True)
    flags.add_argument("--method", required=True, choices=PER_RATIO)
    flags.add_argument("--ratio", required=True, type=int)
    program.add_paths(flags, "--backbone", "--predictions", many=("--candidates",))
    given = flags.parse_args(argv)
    settings = parse_settings(PredictCompressedText, given.settings)

    from clara.evaluation import hard_compression, predict, selection
    from clara.evaluation.answering import read_pools
    from clara.model import backbone
    from clara.model.backbone_card import read_backbone_card

    pools = read_pools(given.candidates)
    tasks = selection.select_given(pools, top_k=settings.top_k)
    loaded = backbone.load(read_backbone_card(given.backbone), **settings.backbone.loading())
    tasks = hard_compression.shortened(tasks, given.method, given.ratio, loaded, settings)
    system = f"given-{given.method}_cr{given.ratio}"
    write_rows(given.predictions, predict.with_backbone(system, loaded, tasks, generation=settings.generation))
    record(given.predictions, settings, inputs=[given.backbone, *given.candidates])


if __name__ == "__main__":
    program.run(main)
