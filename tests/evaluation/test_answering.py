"""The answering loop: order, equal tasks, interruption."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from clara.evaluation.answering import Pool, Task, predictions
from clara.records import Question


def _question(name: str, docs: Sequence[str]) -> Question:
    return Question(id=name, question=f"{name}?", golden_answers=["x"], docs=list(docs), pos_index=[0])


def _tasks() -> list[Task]:
    one, other = _question("q1", ["a", "b"]), _question("q2", ["c", "d"])
    oracle = Pool("nq", "oracle", [one, other])
    normal = Pool("nq", "normal", [_question("q1", ["b", "a"]), other])
    return [
        Task(oracle, oracle.questions[0], [0, 1], [2.0, 1.0], [0]),
        Task(oracle, oracle.questions[1], [0, 1], [2.0, 1.0], [0]),
        Task(normal, normal.questions[0], [1, 0], [2.0, 1.0], [1]),  # the same document, at another place
        Task(normal, normal.questions[1], [1, 0], [2.0, 1.0], [1]),  # another document
    ]


def _length(task: Task) -> int:
    return len(task.question.question)


class _Answers:
    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def __call__(self, batch: Sequence[Task]) -> list[str]:
        read = [(task.question.id, task.question.docs[task.selected[0]]) for task in batch]
        self.asked += read
        return [f"{question} from {document}" for question, document in read]


def test_tasks_that_read_the_same_are_answered_once_and_both_get_the_answer() -> None:
    answers = _Answers()
    rows = predictions("s", _tasks(), answers, length=_length, batch_size=2, done_file=None)
    assert sorted(answers.asked) == [("q1", "a"), ("q2", "c"), ("q2", "d")]
    assert [row.prediction for row in rows] == ["q1 from a", "q2 from c", "q1 from a", "q2 from d"]
    assert [(row.setting, row.selected) for row in rows][:3] == [("oracle", [0]), ("oracle", [0]), ("normal", [1])]


@pytest.mark.parametrize("half", [b'{"system": "s", "ben', '{"system": "sé'.encode()[:-1]])
@pytest.mark.parametrize("lines", range(5))
def test_a_run_killed_after_any_line_ends_with_the_same_rows(tmp_path: Path, lines: int, half: bytes) -> None:
    whole = predictions("s", _tasks(), _Answers(), length=_length, batch_size=2, done_file=tmp_path / "whole.jsonl")
    written = (tmp_path / "whole.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "cut.jsonl").write_bytes(b"".join(written[:lines]) + half)
    answers = _Answers()
    assert predictions("s", _tasks(), answers, length=_length, batch_size=2, done_file=tmp_path / "cut.jsonl") == whole
    assert bool(answers.asked) == (lines < len(written))
    again = _Answers()
    assert predictions("s", _tasks(), again, length=_length, batch_size=2, done_file=tmp_path / "cut.jsonl") == whole
    assert again.asked == []
