"""Replies are read as what was asked for; malformed ones give None."""

import pytest

from clara.synthesis import parse


@pytest.mark.parametrize(
    ("text", "questions"),
    [
        ('{"Question1": "Who is A?", "Question2": "Where  is\\nB?"}', ["Who is A?", "Where is B?"]),
        ('Sure! ```json\n{"Question1": "Who is A?"}\n``` done', ["Who is A?"]),
        ('{"Number of Supplementary Questions": 0}', []),
        ('{"Number of Supplementary Questions": 1, "Question1": "Why?"}', ["Why?"]),
        ('{"Question1": "Who is \\"A\\"?", "Question2": "Where is', ['Who is "A"?']),  # cut by the token limit
        ("1. Who is A?", None),
        ('{"Question1": 3}', None),
        ('{"answer": "A"}', None),
        ("", None),
        ("[]", None),
    ],
)
def test_questions(text: str, questions: list[str] | None) -> None:
    assert parse.questions(text) == questions


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Answer: 1204.", "1204"),
        ('**Answer**: "Ida Thorne"\nbecause', "Ida Thorne"),
        ("Washington, D.C.", "Washington, D.C."),
        ("1204", "1204"),
        ("\n\n", ""),
    ],
)
def test_answers(text: str, answer: str) -> None:
    assert parse.answer(text) == answer


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ('{"Judgment": "Correct"}', True),
        ('{"Judgment": "Incorrect"}', False),
        ("Yes.", True),
        ("no", False),
        ("It is correct", None),
        ('{"Judgment": 3}', None),
        ("", None),
    ],
)
def test_judgements(text: str, verdict: bool | None) -> None:
    assert parse.judgement(text) is verdict


def test_refusals_are_told_from_answers() -> None:
    assert parse.refused("The passage does not mention this.")
    assert parse.refused("not stated")
    assert not parse.refused("He stated that it was not his")


def test_a_question_ends_at_its_mark_and_a_paraphrase_loses_its_heading() -> None:
    assert parse.question("Who is A? Answer: B\nWhy?") == "Who is A?"
    assert parse.question("  \n") == ""
    assert parse.paraphrase('Here is the rewritten passage:\n\n"A is\nB."') == '"A is B."'.strip('"')


def test_half_a_character_is_no_question() -> None:
    """Such a string could be written to no file."""
    assert parse.questions(r'{"Question1": "Who \ud83d?"}') is None
    assert parse.questions(r'{"Question1": "Who \ud83d?", "Question2": "When?", "Quest') == ["When?"]
    assert parse.questions(r'{"Question1": "Who \ud83d\ude00?"}') == ["Who \U0001f600?"]
    assert parse.questions("{" * 100_000 + "}") is None
