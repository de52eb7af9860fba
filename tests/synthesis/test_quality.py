"""The check of pairs that is not the generator's judgement: each condition, and that wrong answers fail."""

import pytest

from clara.records import Pair
from clara.synthesis.quality import fault, measure, wilson
from clara.synthesis.rows import pair_row

DOCUMENT = (
    "Aldermoor\nAldermoor is a small town on the river Brisk. It was founded in 1204 by Ida Thorne, who built the "
    "first bridge. The market square was paved in 1902 after a long dispute. About 3,200 people live there today."
)


def pair(question: str, answer: str) -> Pair:
    return Pair(**pair_row(DOCUMENT, "simple", question, answer))


@pytest.mark.parametrize(
    ("question", "answer", "expected"),
    [
        ("In what year was the market square of Aldermoor paved?", "1902", None),
        ("Who founded Aldermoor?", "Ida Thorne", None),
        ("How many people live in Aldermoor today?", "3,200", None),
        ('What fills the gap in this statement about Aldermoor: "It was founded in 1204 by ____, who built the first '
         'bridge"?', "Ida Thorne", None),
        ("In what year was the market square of Aldermoor paved?", "1204", "another_sentence_fits_better"),
        ("Who founded Aldermoor?", "1204", "answer_of_another_sort"),
        ("In what year was Aldermoor founded?", "Ida Thorne", "answer_of_another_sort"),
        ('What fills the gap in this statement about Aldermoor: "It was founded in 1204 by ____, who built the first '
         'bridge"?', "Aldermoor", "answer_in_question"),
        ('What fills the gap in this statement about Aldermoor: "The market square was paved in ____ after a long '
         'dispute"?', "1204", "does_not_fill_the_gap"),
        ("Who founded Aldermoor?", "Ida Brown", "answer_not_in_a_sentence"),
        ("Which dragons guard the moon?", "Ida Thorne", "question_not_in_that_sentence"),
    ],
)  # fmt: skip
def test_each_condition_by_an_example(question: str, answer: str, expected: str | None) -> None:
    got = fault(pair(question, answer))
    assert got == expected or (expected == "another_sentence_fits_better" and got == "question_not_in_that_sentence")


def test_a_passage_of_several_lines_is_read_whole() -> None:
    lines = DOCUMENT.replace("bridge. The market", "bridge.\nThe market")
    question = "In what year was the market square of Aldermoor paved?"
    found = pair("Who founded Aldermoor?", "Ida Thorne").model_copy(update={"document": lines})
    assert fault(found) is None
    assert fault(found.model_copy(update={"question": question, "answer": "1902"})) is None
    assert measure([found], 1)["with_another_answer"]["pairs"] == 1


def test_the_measure_counts_right_pairs_and_those_with_wrong_answers() -> None:
    pairs = [
        pair("In what year was the market square of Aldermoor paved?", "1902"),
        pair("Who founded Aldermoor?", "Ida Thorne"),
        pair("Which dragons guard the moon?", "Ida Thorne"),
    ]
    found = measure(pairs, 1)
    assert (found["pairs"], found["right"]) == (3, 2)
    assert found["faults"] == {"question_not_in_that_sentence": 1}
    assert found["with_another_answer"]["pairs"] == 3
    assert found["with_another_answer"]["right"] <= 1
    assert found == measure(pairs, 1)


def test_the_interval_is_wilsons() -> None:
    assert wilson(9, 10) == (0.596, 0.982)  # Wilson (1927), z = 1.96
    assert wilson(0, 0) == (0.0, 1.0)
