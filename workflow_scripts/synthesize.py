"""Makes questions, answers and paraphrases from the passages of one shard.

    python workflow_scripts/synthesize.py --settings "$SETTINGS" --aside "$ASIDE" --shard 1 \\
        --passages R/corpus/passages.parquet --backbone R/backbone/card.json --state state/synthesize/by-hand \\
        --pairs R/synthesis/shards/1-of-1/pairs.parquet --rejected R/synthesis/shards/1-of-1/rejected.parquet \\
        --report R/synthesis/shards/1-of-1/report.json

Makes the three files. Replies are kept in --state: run again after an interruption, it asks only what is not answered.
With --estimate it works on the first passages only and prints what the whole will cost: requests, tokens, hours.
The key of an OpenAI-compatible service stands in the environment variable CLARA_API_KEY.
"""

from clara import program
from clara.config.rules import Synthesize, parse_settings
from clara.data.sources import local_file
from clara.environment import record
from clara.synthesis.synthesize import synthesize


def main(argv: list[str] | None = None) -> None:
    """Parses the flags and synthesizes."""
    flags = program.parser(__doc__)
    flags.add_argument("--settings", required=True)
    flags.add_argument("--aside", required=True, help="JSON of settings that decide nothing of the result")
    flags.add_argument("--shard", type=int, required=True, help="which of synthesis.shards, from 1")
    flags.add_argument("--estimate", action="store_true", help="print the cost of the whole and stop")
    program.add_paths(flags, "--passages", "--backbone", "--state", "--pairs", "--rejected", "--report")
    given = flags.parse_args(argv)
    settings = parse_settings(Synthesize, given.settings, given.aside)
    synthesize(
        settings.synthesis,
        seed=settings.seed,
        cpu_threads=settings.cpu_threads,
        shard=given.shard,
        passages=given.passages,
        card=given.backbone,
        state=given.state,
        pairs=given.pairs,
        rejected=given.rejected,
        summary=given.report,
        estimate=given.estimate,
    )
    if not given.estimate:
        taken_over = settings.synthesis.published
        read = [local_file(taken_over)] if taken_over else []
        others = [given.rejected, given.report]
        record(given.pairs, settings, inputs=[given.passages, given.backbone, *read], others=others)


if __name__ == "__main__":
    program.run(main, resumable=True)
