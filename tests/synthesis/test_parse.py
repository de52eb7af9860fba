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
        ("[]", []),
        ("[3]", None),
        ('{"questions": ["Who is A?", "Why?"]}', ["Who is A?", "Why?"]),
        ('["Who is A?", "Why?"]', ["Who is A?", "Why?"]),
        ('[{"question": "Who is A?", "answer": "B"}, {"question": "Why?"}]', ["Who is A?", "Why?"]),
        ('{"question_1": "Who is A?", "q2": "Why?"}', ["Who is A?", "Why?"]),
        ('{"q1": "Who is A?", "q2": "Wh', ["Who is A?"]),
        ('{"Question1": "ok?", "Question2": null}', ["ok?"]),
        ('{"Number of Supplementary Questions": 1, "Supplementary Questions": {"Question1": "Why?"}}', ["Why?"]),
        ('{"Number of Supplementary Questions": 2}', None),  # not "covered"
        ('{"Number of Supplementary Questions": 2, "Question1": ""}', None),
        ('{"number": "0", "reason": "all is covered"}', []),
        ('{"Question1": {"text": "Why?"}}', None),
        ('{"Question1": "", "Question2": null}', []),
        ('<think>{"Question1": "No?"}</think>{"Question1": "Why?"}', ["Why?"]),
        ('<think>{"Question1": "No?"}', None),
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
        ("Answer: **1628**", "1628"),
        ("**Answer:** 1628", "1628"),
        ("Answer:\n1628", "1628"),
        ("Answer:Answer: 1628", "1628"),
        ("Answer: the answer is 1628.", "1628"),
        ("Answer: `Bergen`", "Bergen"),
        ("Answer: \u201cBergen\u201d.", "Bergen"),
        ('Answer: "A" and "B"', '"A" and "B"'),
        ("Answer: $1628$", "1628"),
        ("Answer: $5 million", "$5 million"),
        ("Answer: M*A*S*H", "M*A*S*H"),
        ("Answer: <answer>1628</answer>", "1628"),
        ("Answer: 10 p.m.", "10 p.m."),
        ("<think>Perhaps 1630?</think>\n\nAnswer: 1628", "1628"),
        ("Perhaps 1630?</think>Answer: 1628", "1628"),
        ("<think>Perhaps 1630?", ""),
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
        ('{"Judgement": "Correct"}', True),
        ('{"judgment": "correct."}', True),
        ("Judgment: Correct", True),
        ("**Judgement:** Incorrect", False),
        ("Yes, it does.", True),
        ("Correct. The passage says so", True),
        ("Correct. The correct answer is given", True),
        ("Correct, but incomplete", None),
        ("Yes. No, wait", None),
        ("No, it does not.", False),
        ("Correct or Incorrect", None),
        ('{"Judgment": "Partially correct"}', None),
        ("<think>Correct?</think>Incorrect", False),
        ("", None),
    ],
)
def test_judgements(text: str, verdict: bool | None) -> None:
    assert parse.judgement(text) is verdict


def test_refusals_are_told_from_answers() -> None:
    assert parse.refused("The passage does not mention this.")
    assert parse.refused("not stated")
    assert not parse.refused("He stated that it was not his")


def test_a_question_ends_at_its_mark() -> None:
    assert parse.question("Who is A? Answer: B\nWhy?") == "Who is A?"
    assert parse.question("  \n") == ""


@pytest.mark.parametrize(
    "text",
    [
        'Here is the rewritten passage:\n\n"A is\nB."',
        "Here's a rewritten version: A is B.",
        "Sure! Here is the passage in my own words:\n\nA is B.",
        "Certainly, the rewritten text:\nA is B.",
        "**Rewritten text:**\n\nA is **B**.",
        "# The ship\n\nA is B.",
        "Vasa\nA is B.",
        "**Vasa:**\nA is B.",
        "```\nA is B.\n```",
        "<think>Okay, so</think>\n\nA is B.",
        "A is B.\n\nNote: I kept all names.",
        "A is B.\n\n*Note*: I kept all names.\n\nLet me know.",
        "- A is\n- B.",
    ],
)
def test_what_is_put_around_a_paraphrase_is_left_out(text: str) -> None:
    assert parse.paraphrase(text, "Vasa") == "A is B."


@pytest.mark.parametrize(
    "text",
    [
        "Here are the colours: red and blue.",
        "Notes: they are old.",
        "Vasa is a ship.",
        '"A" is older than "B"',
        "The area is 3*4*5 metres.",
    ],
)
def test_what_only_looks_like_it_stays(text: str) -> None:
    assert parse.paraphrase(text, "Vasa") == text


def test_half_a_character_is_no_question() -> None:
    """Such a string could be written to no file."""
    assert parse.questions(r'{"Question1": "Who \ud83d?"}') is None
    assert parse.questions(r'{"Question1": "Who \ud83d?", "Question2": "When?", "Quest') == ["When?"]
    assert parse.questions(r'{"Question1": "Who \ud83d\ude00?"}') == ["Who \U0001f600?"]
    assert parse.questions("{" * 100_000 + "}") is None
