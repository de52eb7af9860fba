"""Grounding: whether an answer's words stand in the documents that were read (paper, Table 17, by a proxy).

The paper asks GPT-4o-mini through RAGAs. `words_found` needs no model and is not that number: the share of an answer's
content words that occur anywhere in the documents read. It falls when an answer says what no document says, and cannot
see a wrong relation between right words. With a judge (`clara.measurements.judge`) `faithfulness` and `correctness`
stand beside it.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from clara.data.bm25 import STOP_WORDS
from clara.errors import DataError
from clara.evaluation.metrics import VERDICTS, normalise
from clara.evaluation.scoring import Resampling
from clara.measurements.intervals import rows
from clara.records import Prediction, Question

Pools = Mapping[tuple[str, str], Mapping[str, Question]]
"""(benchmark, setting) → question id → question with its pool."""
IGNORED = STOP_WORDS | VERDICTS


class Verdict(NamedTuple):
    """What a judge says of an answer, 0 to 1; None where its reply could not be read."""

    faithfulness: float | None
    """Share of the answer's statements that the documents support."""
    correctness: float | None
    """F1 of the statements of answer and gold answer."""


class Judge(Protocol):
    """Judges answers."""

    name: str

    def judge(self, answers: Sequence[tuple[Prediction, list[str]]]) -> list[Verdict]:
        """A verdict on each answer, given with the documents it was made from."""
        ...


def content_words(text: str) -> list[str]:
    """The words of a text that say something: normalised, without stop words, yes and no."""
    return [word for word in normalise(text).split() if word not in IGNORED]


def words_found(answer: str, documents: Sequence[str]) -> float | None:
    """Share of the answer's content words that occur in the documents; None of an answer without any."""
    words = content_words(answer)
    if not words:
        return None
    held = {word for text in documents for word in normalise(text).split()}
    return sum(word in held for word in words) / len(words)


def measure(
    predictions: Sequence[Prediction],
    pools: Pools,
    resampling: Resampling,
    *,
    judge: Judge | None = None,
    judged: int | None = None,
) -> dict[str, Any]:
    """The content of `grounding/{system}.json`.

    Args:
        predictions: of one system that answers from documents.
        pools: the candidates that it read from.
        resampling: how intervals are made.
        judge: asked as well; None leaves its columns out.
        judged: questions of each benchmark and setting that it sees; None shows it all.

    Raises:
        DataError: the system read nothing, or a question is in no pool.
    """
    read = [(row, _documents(row, pools)) for row in predictions if row.prediction is not None and row.selected]
    if not read:
        raise DataError(f"{predictions[0].system} answers from no document, so nothing can ground its answers")
    groups: dict[tuple[str, ...], list[dict[str, float]]] = {}
    shown: dict[tuple[str, ...], int] = {}
    asked: list[tuple[Prediction, list[str]]] = []
    places: list[dict[str, float]] = []
    silent = 0
    for row, documents in read:
        share = words_found(row.prediction or "", documents)
        silent += share is None
        values = {} if share is None else {"words_found": share}
        key = (row.benchmark, row.setting)
        groups.setdefault(key, []).append(values)
        if judge is not None and (judged is None or shown.setdefault(key, 0) < judged):
            shown[key] = shown.get(key, 0) + 1
            asked.append((row, documents))
            places.append(values)
    unread = 0
    for values, verdict in zip(places, judge.judge(asked) if judge else [], strict=True):
        said = {name: value for name, value in verdict._asdict().items() if value is not None}
        values |= said
        unread += len(said) < len(verdict)
    return {
        "system": predictions[0].system,
        "confidence": resampling.confidence,
        "judge": judge.name if judge else None,
        "without_content_words": silent,
        "unreadable_verdicts": unread,
        "rows": rows(groups, ["benchmark", "setting"], resampling),
    }


def _documents(row: Prediction, pools: Pools) -> list[str]:
    question = pools.get((row.benchmark, row.setting), {}).get(row.id)
    if question is None:
        raise DataError(
            f"question {row.id} of {row.benchmark} ({row.setting}) is in no candidates file; give those that "
            f"{row.system} was predicted from"
        )
    return [question.docs[index] for index in row.selected]
