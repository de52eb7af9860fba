"""Pretrains compressor and generator on synthesized pairs.

    python workflow_scripts/pretrain.py --settings "$SETTINGS" --aside "$ASIDE" --ratio 16 \\
        --pairs results/demo/synthesis/pairs.parquet \\
        --backbone results/demo/backbone/card.json --state state/pretrain/by-hand \\
        --card results/demo/pretraining/cr16-base/card.json

--pairs takes several files: those of rejected rows as well where pretraining.rows is all.
Makes a checkpoint in the card's folder: card.json, adapters.safetensors, history.jsonl and what they came from.
Run again after an interruption, it goes on from the newest state in --state.
"""

from clara import program
from clara.config.rules import Pretrain, parse_settings
from clara.records import Pair
from clara.row_files import Rows


def main(argv: list[str] | None = None) -> None:
    """Parses the flags and trains."""
    flags = program.parser(__doc__)
    flags.add_argument("--settings", required=True)
    flags.add_argument("--aside", required=True, help="JSON of settings that decide nothing of the result")
    flags.add_argument("--ratio", type=int, required=True)
    program.add_paths(flags, "--backbone", "--state", "--card", many=("--pairs",))
    given = flags.parse_args(argv)
    settings = parse_settings(Pretrain, given.settings, given.aside)

    from clara.training import stages

    stages.pretrain(
        settings,
        ratio=given.ratio,
        pairs=Rows(Pair, *given.pairs),
        backbone=given.backbone,
        state=given.state,
        card=given.card,
        inputs=[*given.pairs, given.backbone],
    )


if __name__ == "__main__":
    program.run(main, resumable=True)
