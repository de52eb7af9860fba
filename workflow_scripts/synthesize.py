"""Makes questions, answers and paraphrases from passages.

    python workflow_scripts/synthesize.py --settings "$SETTINGS" --passages results/demo/corpus/passages.parquet \\
        --backbone results/demo/backbone/card.json --state state/synthesize/by-hand \\
        --pairs results/demo/synthesis/pairs.parquet --rejected results/demo/synthesis/rejected.parquet \\
        --report results/demo/synthesis/report.json

Makes the three files. Replies are kept in --state: run again after an interruption, it asks only what is not answered.
The key of an OpenAI-compatible service stands in the environment variable CLARA_API_KEY.
"""

from clara import program
from clara.config.rules import Synthesize, parse_settings
from clara.synthesis.synthesize import synthesize


def main(argv: list[str] | None = None) -> None:
    """Parses the flags and synthesizes."""
    flags = program.parser(__doc__)
    flags.add_argument("--settings", required=True)
    program.add_paths(flags, "--passages", "--backbone", "--state", "--pairs", "--rejected", "--report")
    given = flags.parse_args(argv)
    settings = parse_settings(Synthesize, given.settings)
    synthesize(
        settings.synthesis,
        seed=settings.seed,
        dtype=settings.synthesis.dtype,
        passages=given.passages,
        card=given.backbone,
        state=given.state,
        pairs=given.pairs,
        rejected=given.rejected,
        summary=given.report,
    )


if __name__ == "__main__":
    program.run(main)
