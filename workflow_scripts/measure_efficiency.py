"""Times answers from memories and from text, one question after the other.

    python workflow_scripts/measure_efficiency.py --settings "$SETTINGS" \\
        --checkpoint results/demo/joint/instruction-cr16-base/card.json \\
        --store results/demo/compression/instruction-cr16-base/manifest.json \\
        --backbone results/demo/backbone/card.json --candidates results/demo/candidates/*.test.oracle.jsonl \\
        --measured results/demo/measurements/efficiency/instruction-cr16-base.json

Makes one JSON file: seconds by part, tokens a second and bytes, medians over the questions, and the machine. Measure on
a machine that does nothing else.
"""

from clara import program
from clara.config.rules import MeasureEfficiency, parse_settings
from clara.environment import record
from clara.files import write_json


def main(argv: list[str] | None = None) -> None:
    """Parses the flags and measures."""
    flags = program.parser(__doc__)
    flags.add_argument("--settings", required=True)
    program.add_paths(flags, "--checkpoint", "--store", "--backbone", "--measured", many=("--candidates",))
    given = flags.parse_args(argv)
    settings = parse_settings(MeasureEfficiency, given.settings)

    from clara.bench import efficiency
    from clara.evaluation.answering import read_pools
    from clara.model import backbone, checkpoint
    from clara.model.backbone_card import read_backbone_card
    from clara.model.store import MemoryStore

    loaded = checkpoint.load(given.checkpoint, **settings.backbone.loading(), inference=True)
    store = MemoryStore(given.store)
    store.require(loaded.compressor_hash)
    found = efficiency.measure(
        loaded.model,
        backbone.load(read_backbone_card(given.backbone), **settings.backbone.loading()),
        store,
        efficiency.choose(read_pools(given.candidates), settings.efficiency.questions),
        top_k=settings.top_k,
        new_tokens=settings.efficiency.new_tokens,
        k1=settings.bm25_k1,
        b=settings.bm25_b,
    )
    write_json(given.measured, {"system": given.measured.stem} | found)
    record(given.measured, settings, inputs=[given.checkpoint, given.store, given.backbone, *given.candidates])


if __name__ == "__main__":
    program.run(main)
