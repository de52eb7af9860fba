"""The files that a report is made of, read into typed rows: metrics, histories, memory use."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from clara.errors import DataError
from clara.evaluation.labels import (
    Checkpoint,
    benchmark_order,
    checkpoint_of,
    metric_order,
    setting_order,
    system_order,
)
from clara.files import read_json
from clara.json_lines import read_json_lines
from clara.records import Record, parse_row

CONDITIONS = {
    "right": "right document's memories",
    "wrong": "another document's memories",
    "none": "no document",
    "text": "the document's text",
}
"""What the generator read in the memory-use diagnostic."""


class Score(Record):
    """One number of a results table, in percent."""

    benchmark: str
    setting: str
    metric: str
    value: float
    low: float
    high: float
    n: int


class SystemScore(NamedTuple):
    """A score and whose it is."""

    system: str
    confidence: float
    score: Score


class Interval(Record):
    """A mean with its interval, in nats a token."""

    mean: float
    low: float
    high: float


class Losses(Record):
    """Loss of the same targets under four conditions."""

    right: Interval
    wrong: Interval
    none: Interval
    text: Interval


class MemoryUse(Record):
    """What a generator makes of its memories."""

    n: int
    confidence: float
    losses: Losses
    wrong_minus_right: Interval

    @property
    def used(self) -> bool:
        """Whether the right document beats a wrong one with the whole interval above zero."""
        return self.wrong_minus_right.low > 0


class CheckpointUse(NamedTuple):
    """The memory use of one checkpoint."""

    checkpoint: Checkpoint
    use: MemoryUse


class Ends(Record):
    """First and last value of a training."""

    first: float
    last: float


class Near(Record):
    """A document, and the tokens nearest to each of its memory vectors."""

    document: str
    nearest: list[list[str]]


class Lens(Record):
    """A question, the words that the head reads from its memories, and those of them that it does not contain."""

    question: str
    words: list[str]
    new: list[str]


class Diagnostics(Record):
    """What `clara.evaluation.diagnostics` found of one checkpoint."""

    steps: int
    validation_loss: Ends | None
    gradient_norms: dict[str, float]
    """By adapter, at the last logged step, before the norm is limited."""
    documents: list[Near]
    share_named: float
    """Of the document memories, those near a token that occurs in the document; 0 to 1."""
    questions: list[Lens]
    """None before joint training."""


class CheckpointDiagnostics(NamedTuple):
    """The diagnostics of one checkpoint."""

    checkpoint: Checkpoint
    found: Diagnostics


class Point(Record):
    """A logged step."""

    step: int
    split: str
    loss: float


class History(NamedTuple):
    """The logged steps of one checkpoint's training."""

    checkpoint: Checkpoint
    points: list[Point]

    def losses(self, split: str) -> list[tuple[int, float]]:
        """Steps and losses of `split`, by step; of a step logged twice (a resumed run) the last."""
        return sorted({point.step: point.loss for point in self.points if point.split == split}.items())


def read_scores(files: Iterable[Path]) -> list[SystemScore]:
    """All systems' scores, sorted by setting, metric, system and benchmark.

    Raises:
        DataError: a file is malformed, or two files hold the same system.
    """
    scores: list[SystemScore] = []
    sources: dict[str, Path] = {}
    for path in files:
        value = _mapping(read_json(path), path, ("system", "confidence", "rows"))
        system = value["system"]
        if system in sources:
            raise DataError(f"{path} and {sources[system]} both hold the system {system}; give each system once")
        sources[system] = path
        for number, row in enumerate(value["rows"], 1):
            scores.append(SystemScore(system, value["confidence"], parse_row(Score, row, f"{path} row {number}")))
    return sorted(
        scores,
        key=lambda row: (
            setting_order(row.score.setting),
            metric_order(row.score.metric),
            system_order(row.system),
            benchmark_order(row.score.benchmark),
        ),
    )


def _mapping(value: Any, path: Path, keys: Sequence[str]) -> dict[str, Any]:
    missing = [key for key in keys if not isinstance(value, dict) or key not in value]
    if missing:
        raise DataError(f"{path} has no {', '.join(missing)}; delete it and run the step that makes it again")
    return dict(value)


def read_memory_use(files: Iterable[Path]) -> list[CheckpointUse]:
    """The memory use of every checkpoint, sorted by stage and ratio."""
    uses = [CheckpointUse(checkpoint_of(path), parse_row(MemoryUse, read_json(path), str(path))) for path in files]
    return sorted(uses, key=lambda row: row.checkpoint.order)


def read_diagnostics(files: Iterable[Path]) -> list[CheckpointDiagnostics]:
    """The diagnostics of every checkpoint, sorted by stage and ratio."""
    found = [
        CheckpointDiagnostics(checkpoint_of(path), parse_row(Diagnostics, read_json(path), str(path))) for path in files
    ]
    return sorted(found, key=lambda row: row.checkpoint.order)


def read_histories(files: Iterable[Path]) -> list[History]:
    """The histories of every checkpoint, sorted by stage and ratio."""
    histories = [
        History(checkpoint_of(path), [parse_row(Point, row, where) for where, row in read_json_lines(path)])
        for path in files
    ]
    return sorted(histories, key=lambda history: history.checkpoint.order)
