"""Each check by hand-made examples."""

import re

import pytest

from clara.prompts import FOLDER
from clara.synthesis import parse
from clara.synthesis.checks import answer_fault, duplicate_fault, fact_fault
from clara.synthesis.standalone import question_fault

DOCUMENT = (
    "Aldermoor\nAldermoor lies on the river Brisk. It was founded in 1204 by Ida Thorne. About 3,200 people live there."
)


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


PEAKS = "Alps\nMount Alm is 5,959 metres high. Bree, the great, rises to 6,190. It has three huts and sank by 2 metres."


@pytest.mark.parametrize(
    ("question", "answer", "fault"),
    [
        ("Which of the two mountains, Mount Alm and Bree, is the higher one?", "Bree", None),
        ("Which of the two mountains, Mount Alm and Bree, is the higher one?", "Mount Alm", None),
        ("Which mountain is higher, the Bree or the Mount Alm?", "the Mount Alm", None),
        ("Which is older, Mount Alm or Bree, the Great?", "Bree, the Great", None),
        ("Between Bree and Mount Alm, which is the higher one?", "Bree", None),
        ("Which has huts, the top of Mount Alm or Bree?", "huts", "answer_in_question"),
        ("How many huts has the mountain that sank in 1628 and rises to 6,190?", "1628", "answer_in_question"),
        ("How many metres did what sank in 1628 sink by?", "2", None),  # no part of 1628
        ("By how many metres is Bree higher than Mount Alm?", "231", None),
        ("By how many metres is Bree higher than Mount Alm?", "232", "not_grounded"),
        ("How high are both together?", "12,149 metres", None),
        ("How many huts are there?", "3", None),
        ("How many mountains are there?", "12", "not_grounded"),
    ],
)
def test_a_complex_question_may_compare_and_calculate(question: str, answer: str, fault: str | None) -> None:
    assert answer_fault(answer, question, PEAKS, complex_kind=True) == fault


def test_a_simple_question_may_not_and_a_count_is_the_judges_matter() -> None:
    assert answer_fault("Bree", "Which is higher, Mount Alm or Bree?", PEAKS) == "answer_in_question"
    assert answer_fault("231", "By how many metres is Bree the higher one?", PEAKS) == "not_grounded"
    asked = "How many mountains are named?"
    assert answer_fault("12", asked, PEAKS, complex_kind=True, judged=True) is None
    assert answer_fault("twelve", asked, PEAKS, complex_kind=True, judged=True) is None
    assert answer_fault("12", asked, PEAKS, judged=True) == "not_grounded"
    assert answer_fault("1629", asked, PEAKS, complex_kind=True, judged=True) == "not_grounded"


RIGHT = {
    "How many years did the Vasa lie under water before it was raised?": "333",
    "Where can the ship that sank in 1628 and was raised in 1961 be seen?": "the Vasa Museum",
    "Which of the two mountains, Mount Logan and Denali, is the higher one?": "Denali",
    "To which town did the orchestra founded by Ada Berg move in 1950?": "Bergen",
    "On what date did the Vasa sink?": "10 August 1628",
    "In what year was the Vasa raised?": "1961",
    "To which family of plants does basil belong?": "the mint family",
    "What area does Lake Inari cover?": "1,040 square kilometres",
    "In which part of Finland does Lake Inari lie?": "northern Finland",
    "Where is the ship shown that sank in 1628?": "Stockholm",
    "In what year did the Vasa sink?": "1628",
}
"""The right answers to the questions that the prompts give as examples."""
EXAMPLE = re.compile(r'Example for another passage, "(.+?)"(?: with the question "(.+?)" already asked)?:\n(\{.+\})')
FACT = re.compile(r"Fact about (.+): (.+)\n.+The answer must be: (.+)\n@assistant\n(.+)")


@pytest.mark.parametrize("name", ["simple", "complex", "more_simple", "more_complex"])
def test_every_example_of_a_prompt_passes_with_its_right_answer(name: str) -> None:
    found = EXAMPLE.findall((FOLDER / f"synthesis_{name}.jinja").read_text())
    assert len(found) == (1 if name.startswith("more") else 3)
    hard = name.endswith("complex")
    for passage, before, reply in found:
        asked = parse.questions(reply)
        assert asked
        for question in [*asked, *filter(None, [before])]:
            assert question_fault(question, "", complex_kind=hard) is None
            assert answer_fault(RIGHT[question], question, passage, complex_kind=hard) is None


def test_every_example_of_the_prompt_for_facts_passes() -> None:
    found = FACT.findall((FOLDER / "synthesis_fact.jinja").read_text())
    assert len(found) == 4
    for title, sentence, answer, question in found:
        assert question_fault(question, title, complex_kind=False) is None
        assert answer_fault(answer, question, f"{title}\n{sentence}") is None


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
