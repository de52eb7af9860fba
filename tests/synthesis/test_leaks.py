"""Matches of test questions: equal, near, printed in a passage; and what is none."""

import random

import pytest

from clara.records import Pair
from clara.synthesis import leaks
from clara.synthesis.checks import content
from clara.synthesis.leaks import Leak, Leaks
from clara.synthesis.rows import pair_row

TEST = "In what year was the stone bridge of Aldermoor founded by Ida Thorne?"
SHORT = "Who founded Oslo?"


def pair(question: str, document: str = "Aldermoor\nIt is a town.") -> Pair:
    return Pair(**pair_row(document, "simple" if question else "paraphrase", question, "1204"))


@pytest.mark.parametrize(
    ("question", "found"),
    [
        (TEST.upper().replace("?", " ?"), TEST),
        ("When was the stone bridge of Aldermoor founded by Ida Thorne?", TEST),
        ("When was Aldermoor's stone bridge founded by Ida Thorne?", TEST),
        ("When was the stone bridge of Brackwell founded by Ida Thorne?", None),  # another name
        ("When was the bridge paved?", None),
        ("Who founded Bergen?", None),
        ("who founded oslo", SHORT),
    ],
)
def test_questions_match_by_content_but_never_over_another_name(question: str, found: str | None) -> None:
    leak = Leaks([TEST, SHORT]).of(pair(question))
    assert leak == (Leak("question", found) if found else None)


LONG = "Who sang the theme song for the long running American show Golden Girls?"
LOWER = "who sang the theme song for the show golden girls"


@pytest.mark.parametrize(
    ("test", "question", "found"),
    [
        (LOWER, "Who sang the theme song of the show Golden Girls?", True),
        (LOWER, "who sang the theme song of the show golden girls", True),
        (LOWER, "Who sang the theme song for the show Golden Girls and the show Cheers?", False),  # near, another name
        (LONG, LONG.lower().replace("for", "of"), True),
        (LONG, LONG.lower().replace("girls", "boys"), False),
        (LONG, LONG.replace("Girls", "Boys"), False),
        (LONG.lower(), LONG.replace("Girls", "Boys"), False),
        ("when did the eagles win the super bowl in 2018", "When did the Eagles win the Super Bowl in 2017?", False),
    ],
)
def test_names_in_lower_case_are_looked_for_among_the_words(test: str, question: str, found: bool) -> None:
    assert (Leaks([test]).of(pair(question)) is not None) == found


def test_a_passage_that_prints_the_question_matches_for_all_its_rows() -> None:
    quiz = f"Quiz\nThe first task of the evening was this. {TEST} Nobody knew."
    known = Leaks([TEST, SHORT])
    assert known.of(pair("Who knew it at the quiz?", quiz)) == Leak("passage", TEST)
    assert known.of(pair("", quiz)) == Leak("passage", TEST)


def test_a_passage_that_holds_the_answer_is_no_leak() -> None:
    told = "Aldermoor\nThe stone bridge of Aldermoor was founded in 1204 by Ida Thorne, who founded Oslo too."
    assert Leaks([TEST, SHORT]).of(pair("What did Ida Thorne do?", told)) is None


def test_the_index_finds_what_comparing_all_with_all_finds() -> None:
    choice = random.Random(3)
    words = [f"word{number}" for number in range(12)]

    def question() -> str:
        return " ".join(choice.sample(words, choice.randrange(3, 9))) + "?"

    tests, asked = [question() for _ in range(60)], [question() for _ in range(200)]
    known = Leaks(tests)

    def near(one: str, other: str) -> bool:
        mine, theirs = set(content(one)), set(content(other))
        return len(mine & theirs) >= leaks.NEAR * len(mine | theirs)

    for text in asked:
        assert (known.of(pair(text)) is not None) == any(near(text, test) for test in tests)
