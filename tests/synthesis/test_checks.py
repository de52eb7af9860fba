"""Each check by hand-made examples."""

import pytest

from clara.synthesis.checks import answer_fault, duplicate_fault, fact_fault, question_fault

DOCUMENT = (
    "Aldermoor\nAldermoor lies on the river Brisk. It was founded in 1204 by Ida Thorne. About 3,200 people live there."
)


@pytest.mark.parametrize(
    ("question", "fault"),
    [
        ("In what year was Aldermoor founded?", None),
        ("In what year was Aldermoor founded", "no_question"),
        ("Who founded?", "question_length"),
        ("Why " + "so " * 45 + "far?", "question_length"),
        ("What does the document say about Aldermoor?", "not_self_contained"),
        ("According to this passage, who founded Aldermoor?", "not_self_contained"),
        ("What do the authors think of Aldermoor?", "not_self_contained"),
        ("What is the answer to this question about Aldermoor?", "not_self_contained"),
        ("Where does it lie today?", "dangling_pronoun"),
        ("When did he found Aldermoor?", "dangling_pronoun"),
        ("What is Aldermoor known for among its neighbours?", None),
        ("Which book did Ida Thorne sell before she left?", None),
        ("Which town by the sea by the sea by the sea is it?", "dangling_pronoun"),
        ("Which town by the sea by the sea by the sea?", "repetition"),
    ],
)
def test_a_question_must_stand_alone(question: str, fault: str | None) -> None:
    assert question_fault(question, "Aldermoor", complex_kind=False) == fault


def test_only_complex_questions_refuse_yes_or_no() -> None:
    question = "Was Aldermoor founded before Oslo?"
    assert question_fault(question, "Aldermoor", complex_kind=True) == "yes_no"
    assert question_fault(question, "Aldermoor", complex_kind=False) is None


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        ("1204", None),
        ("3200 people", None),  # the separator does not matter
        ("founding by Ida Thorne", None),  # founding and founded share a stem
        ("", "empty_answer"),
        ("...", "empty_answer"),
        ("Not stated", "refusal"),
        ("The passage does not mention it", "refusal"),
        ("word " * 41, "answer_length"),
        ("the town", "answer_in_question"),
        ("1205", "not_grounded"),
        ("Ida Brown of London", "not_grounded"),
    ],
)
def test_an_answer_must_come_from_the_document(answer: str, fault: str | None) -> None:
    assert answer_fault(answer, "Who, or when, made the town?", DOCUMENT) == fault


def test_duplicates_are_told_from_near_ones_and_from_new_questions() -> None:
    others = [("In what year was Aldermoor founded?", "1204")]
    assert duplicate_fault("in what year was Aldermoor founded ?", "1205", others) == "duplicate"
    assert duplicate_fault("When was Aldermoor founded?", "1204", others) == "near_duplicate"
    assert duplicate_fault("When was Aldermoor founded?", "Monday", others) is None
    assert duplicate_fault("On which river does Aldermoor lie?", "1204", others) is None


@pytest.mark.parametrize(
    ("question", "fault"),
    [
        ("In what year did Arthur start playing the flute?", None),
        ("In what year did Arthur learn to swim?", "not_faithful"),
        ("In what year was it?", "vague"),
    ],
)
def test_a_question_about_a_fact_brings_in_no_words_of_its_own(question: str, fault: str | None) -> None:
    assert fact_fault(question, "As early as 1799, Arthur started playing the flute.", "Arthur Schopenhauer") == fault
