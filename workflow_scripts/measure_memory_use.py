"""Measures whether a checkpoint's generator reads its memories, and what words they lie near.

    python workflow_scripts/measure_memory_use.py --settings "$SETTINGS" \\
        --checkpoint results/demo/joint/instruction-cr16-base/card.json \\
        --history results/demo/joint/instruction-cr16-base/history.jsonl \\
        --candidates results/demo/candidates/*.test.oracle.jsonl \\
        --memory-use results/demo/joint/instruction-cr16-base/memory_use.json \\
        --diagnostics results/demo/joint/instruction-cr16-base/diagnostics.json

Makes memory_use.json: losses with the right documents' memories, wrong ones, none, and the text; and diagnostics.json:
tokens near document memories, words under the head of query memories, validation loss, gradient norms by adapter.
"""

from clara import program
from clara.config.rules import MeasureMemoryUse, parse_settings
from clara.environment import record
from clara.files import write_json
from clara.records import Question
from clara.row_files import read_rows


def main(argv: list[str] | None = None) -> None:
    """Parses the flags and measures."""
    flags = program.parser(__doc__)
    flags.add_argument("--settings", required=True)
    program.add_paths(flags, "--checkpoint", "--history", "--memory-use", "--diagnostics", many=("--candidates",))
    given = flags.parse_args(argv)
    settings = parse_settings(MeasureMemoryUse, given.settings)
    pools = [read_rows(Question, path) for path in given.candidates]

    from clara.evaluation import diagnostics, memory_use
    from clara.model import checkpoint

    questions = memory_use.choose(pools, settings.memory_use_examples)
    model = checkpoint.load(given.checkpoint, **settings.backbone.loading(), inference=True).model
    measured = memory_use.measure(
        model, questions, seed=settings.seed, confidence=settings.confidence, samples=settings.bootstrap_samples
    )
    write_json(given.memory_use, measured)
    asked = [question.question for pool in pools for question in pool[: diagnostics.ASKED]]
    write_json(given.diagnostics, diagnostics.diagnose(model, questions, given.history, asked=asked))
    inputs = [given.checkpoint, given.history, *given.candidates]
    record(given.memory_use, settings, inputs=inputs, others=[given.diagnostics])


if __name__ == "__main__":
    program.run(main)
