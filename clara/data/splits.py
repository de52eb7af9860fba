"""Training and test questions without overlap."""

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from clara.files import text_id
from clara.records import Question


class Split(NamedTuple):
    """Two parts of a benchmark."""

    train: list[Question]
    test: list[Question]


def question_key(question: Question) -> str:
    """What makes two questions the same: their letters and digits, without case."""
    return "".join(sign for sign in question.question.casefold() if sign.isalnum())


def split(questions: list[Question], num_test: int) -> Split:
    """The first `num_test` questions of an even order as test, the others as train.

    In that order every type is spread evenly, so that each part holds each type in its share; within a type the hash of
    the id decides. A question that is asked twice does not fall on both sides.
    """
    ordered = evenly(questions)
    test = ordered[:num_test]
    return Split(train=without(ordered[num_test:], test), test=test)


def evenly(questions: list[Question]) -> list[Question]:
    """The questions in an order in which each beginning holds every type in nearly its share."""
    by_type = defaultdict(list)
    for question in questions:
        by_type[question.type].append(question)
    placed = []
    for kind in by_type.values():
        kind.sort(key=lambda question: text_id(question.id))
        placed += [((place + 0.5) / len(kind), question) for place, question in enumerate(kind)]
    return [question for _, question in sorted(placed, key=lambda pair: (pair[0], pair[1].type, pair[1].id))]


def without(questions: Iterable[Question], others: Iterable[Question]) -> list[Question]:
    """The questions that are not among `others`."""
    known = {question_key(question) for question in others}
    return [question for question in questions if question_key(question) not in known]
