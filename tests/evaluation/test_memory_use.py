"""Which questions the memory-use diagnostic takes."""

import pytest

from clara.errors import DataError
from clara.evaluation.memory_use import choose
from clara.records import Question


def question(name: str, gold: list[int]) -> Question:
    return Question(id=name, question="Who?", golden_answers=["Ida"], docs=["a", "b", "c"], pos_index=gold)


def test_questions_with_fewest_gold_documents_come_first_and_benchmarks_take_turns() -> None:
    first = [question("n1", [0]), question("n2", []), question("n3", [2])]
    second = [question("h1", [0, 1]), question("h2", [1])]
    assert [chosen.id for chosen in choose([first, second], 3)] == ["n1", "n3", "h2"]
    assert [chosen.id for chosen in choose([first, second], 9)] == ["n1", "n3", "h2", "h1"]


def test_one_question_is_too_few() -> None:
    with pytest.raises(DataError, match="at least two questions with gold documents, found 1"):
        choose([[question("n1", [0])]], 4)
