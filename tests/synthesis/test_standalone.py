"""Questions that need their passage are told from those that stand alone."""

import pytest

from clara.synthesis.standalone import question_fault


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
        ("Which bridge in the old town in the old town is green?", "repetition"),
        ("Who was born first, the director of the film Alm or the director of the film Bree?", None),
        ("Who is the author of The Hobbit?", None),
        ("In which city did the American writer Anna live?", None),
        ("When did Ida Thorne meet the writer?", None),
        ("Where did the writer live?", "not_self_contained"),
        ("Who is Ida Thorne according to the author?", "not_self_contained"),
        ("Who is this author of The Hobbit?", "not_self_contained"),
        ("In which city was the text of the Treaty of Paris signed?", None),
        ("What does Ida Thorne do in the text?", "not_self_contained"),
        ("What does article 5 of the treaty rule?", None),
        ('What did the article "Bridges" bring about?', None),
        ("What follows from the fact that Aldermoor is old?", None),
        ("What is the main fact about Aldermoor?", "not_self_contained"),
        ("What is the text of the document?", "not_self_contained"),
        ("Who first sailed the Northwest Passage?", None),
    ],
)
def test_a_question_must_stand_alone(question: str, fault: str | None) -> None:
    assert question_fault(question, "Aldermoor", complex_kind=False) == fault


def test_only_complex_questions_refuse_yes_or_no() -> None:
    question = "Was Aldermoor founded before Oslo?"
    assert question_fault(question, "Aldermoor", complex_kind=True) == "yes_no"
    assert question_fault(question, "Aldermoor", complex_kind=False) is None
