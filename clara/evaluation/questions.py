"""The question browser's content: each question with every system's answer and the documents it read."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from clara.errors import DataError
from clara.evaluation.answering import Pool
from clara.evaluation.labels import (
    benchmark_label,
    benchmark_order,
    setting_label,
    setting_order,
    system_label,
)
from clara.evaluation.metrics import answer_scores
from clara.records import Prediction, Question

RANKS_SHOWN = 5
"""Best documents listed of a system that only ranks."""

Pools = Mapping[tuple[str, str], Mapping[str, Question]]
"""(benchmark, setting) → question id → question with its pool."""


class Document(NamedTuple):
    """A candidate that was gold or chosen by some system."""

    number: int
    """Place in the pool, from 1."""
    title: str
    text: str
    gold: bool


class Ranked(NamedTuple):
    """A candidate as a system scored it."""

    number: int
    """Place in the pool, from 1."""
    title: str
    score: float
    gold: bool


class SystemAnswer(NamedTuple):
    """What one system did with a question."""

    system: str
    text: str | None
    """The answer; None where the system only ranks."""
    covered: bool
    """Whether a gold answer is in it (cover-EM)."""
    f1: float
    """In percent."""
    documents: list[Document]
    """What it read, in that order; of a system that only ranks, its first ranks."""
    ranked: list[Ranked]
    """Its best candidates with their scores; empty where it scores none."""


class Asked(NamedTuple):
    """A question of the browser."""

    id: str
    question: str
    type: str
    gold: list[str]
    answers: list[SystemAnswer]
    documents: list[Document]
    """Every gold or chosen document, in the pool's order."""


class Section(NamedTuple):
    """The questions of one benchmark and setting."""

    benchmark: str
    setting: str
    total: int
    """Questions that were asked; more than are shown where the settings say so."""
    questions: list[Asked]


def by_id(pools: Iterable[Pool]) -> Pools:
    """The questions of pools, to be looked up."""
    return {(pool.benchmark, pool.setting): {row.id: row for row in pool.questions} for pool in pools}


def sections(predictions: Mapping[str, Sequence[Prediction]], pools: Pools, *, shown: int | None) -> list[Section]:
    """The browser's sections, by benchmark and setting.

    Args:
        predictions: system → its predictions, in the order of the answers.
        pools: the candidates that the systems chose from.
        shown: questions listed in a section; None lists all.

    Raises:
        DataError: a prediction's question or document is in no pool.
    """
    asked: dict[tuple[str, str], dict[str, list[Prediction]]] = {}
    for rows in predictions.values():
        for row in rows:
            asked.setdefault((row.benchmark, row.setting), {}).setdefault(row.id, []).append(row)
    result = []
    for place in sorted(asked, key=lambda place: (benchmark_order(place[0]), setting_order(place[1]))):
        questions = [_asked(rows, _pool_of(rows[0], pools)) for rows in list(asked[place].values())[:shown]]
        result.append(Section(benchmark_label(place[0]), setting_label(place[1]), len(asked[place]), questions))
    return result


def _pool_of(row: Prediction, pools: Pools) -> Question:
    question = pools.get((row.benchmark, row.setting), {}).get(row.id)
    if question is None:
        raise DataError(
            f"question {row.id} of {row.benchmark} ({row.setting}) was predicted by {row.system}, but is in no "
            "candidates file; give the candidates that the predictions were made from"
        )
    return question


def _asked(rows: Sequence[Prediction], pool: Question) -> Asked:
    chosen = {row.system: row.selected or (row.ranking or [])[:RANKS_SHOWN] for row in rows}
    outside = [index for indices in chosen.values() for index in indices if not 0 <= index < len(pool.docs)]
    if outside:
        raise DataError(
            f"question {pool.id}: a prediction names candidate {outside[0]}, but the pool has {len(pool.docs)}; "
            "predict again on these candidates"
        )
    wanted = sorted({index for indices in chosen.values() for index in indices} | set(pool.pos_index))
    documents = {index: _document(pool, index) for index in wanted}
    answers = [_answer(row, [documents[index] for index in chosen[row.system]], pool) for row in rows]
    return Asked(pool.id, pool.question, pool.type, pool.golden_answers, answers, list(documents.values()))


def _document(pool: Question, index: int) -> Document:
    title, _, text = (
        pool.docs[index].rpartition("\n") if "\n" not in pool.docs[index] else pool.docs[index].partition("\n")
    )
    return Document(index + 1, title, text, index in pool.pos_index)


def _answer(row: Prediction, documents: list[Document], pool: Question) -> SystemAnswer:
    scores = {} if row.prediction is None else answer_scores(row.prediction, row.golden_answers)
    covered, f1 = scores.get("cover_em", 0.0) == 1.0, 100 * scores.get("f1", 0.0)
    return SystemAnswer(system_label(row.system), row.prediction, covered, f1, documents, _ranked(row, pool))


def _ranked(row: Prediction, pool: Question) -> list[Ranked]:
    if row.ranking is None or row.scores is None or len(row.scores) != len(pool.docs):
        return []
    best = [index for index in row.ranking if 0 <= index < len(pool.docs)]
    return [
        Ranked(index + 1, _document(pool, index).title, row.scores[index], index in pool.pos_index) for index in best
    ]
