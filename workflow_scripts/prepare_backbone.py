"""Brings the backbone into a folder of safetensors, once.

Example:
    python workflow_scripts/prepare_backbone.py --settings "$SETTINGS" --card results/demo/backbone/card.json

Makes card.json and, for a GGUF file or a random model, the folder model/ beside it.
"""

from clara import program
from clara.config.locations import expand
from clara.config.rules import PrepareBackbone, parse_settings
from clara.data.sources import resolve
from clara.environment import record


def main(argv: list[str] | None = None) -> None:
    """Parses the flags and prepares the backbone."""
    flags = program.parser(__doc__)
    flags.add_argument("--settings", required=True)
    program.add_paths(flags, "--card")
    given = flags.parse_args(argv)
    settings = parse_settings(PrepareBackbone, given.settings)

    from clara.model import backbone_folder

    source = expand(settings.source)
    if source.startswith("package:"):
        source = str(resolve(source))
    backbone_folder.prepare(
        source,
        given.card,
        seed=settings.seed,
        revision=settings.revision,
        trust_remote_code=settings.trust_remote_code,
    )
    record(given.card, settings, inputs=[])


if __name__ == "__main__":
    program.run(main)
