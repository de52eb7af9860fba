"""Which questions the memory-use diagnostic takes, and what it measures."""

import numpy as np
import pytest
import torch

from clara.errors import DataError
from clara.evaluation.memory_use import about_others, choose, difference, measure
from clara.model.adapters import COMPRESSOR
from clara.model.clara import ClaraModel
from clara.records import Question
from tests import tiny


def question(name: str, gold: list[int]) -> Question:
    return Question(id=name, question="Who?", golden_answers=["Ida"], docs=["a", "b", "c"], pos_index=gold)


def test_questions_with_fewest_gold_documents_come_first_and_benchmarks_take_turns() -> None:
    first = [question("n1", [0]), question("n2", []), question("n3", [2])]
    second = [question("h1", [0, 1]), question("h2", [1])]
    assert [chosen.id for chosen in choose([first, second], 3)] == ["n1", "n3", "h2"]
    assert [chosen.id for chosen in choose([first, second], 9)] == ["n1", "n3", "h2", "h1"]


def test_questions_about_documents_that_were_learnt_from_are_left_out() -> None:
    asked = [question("n1", [0]), question("n2", [1]), question("n3", [0, 2]), question("n4", [])]
    assert [left.id for left in about_others(asked, {"b", "c"})] == ["n1", "n4"]
    assert about_others(asked, set()) == asked


def test_one_question_is_too_few() -> None:
    with pytest.raises(DataError, match="at least two questions with gold documents, found 1"):
        choose([[question("n1", [0])]], 4)


def loss(model: ClaraModel, asked: Question, documents: list[str], *, as_text: bool = False) -> float:
    """Nats a token of the answer, one question alone."""
    target = [model.tokens.target(asked.golden_answers[0], max_tokens=64)]
    memories = None
    if documents and not as_text:
        memories = model.encode(COMPRESSOR, [model.tokens.to_compress(text) for text in documents]).vectors
    background = documents if as_text else len(documents)
    found = model.losses([model.tokens.answer_prompt(asked.question, background)], target, memories)
    return float(found.sums / found.counts)


def test_the_four_conditions_are_losses_with_the_right_documents_those_of_others_none_and_the_text(
    model: ClaraModel,
) -> None:
    first, second, third = (
        tiny.question(0, docs=[0, 1], gold=[0], answer="north"),
        tiny.question(1, docs=[2, 0, 4], gold=[0], answer="the painter"),
        tiny.question(2, docs=[5, 4, 3], gold=[1], answer="Eor"),
    )
    aro, cid, eor = tiny.TEXTS[0], tiny.TEXTS[2], tiny.TEXTS[4]
    found = measure(model, [first, second, third], seed=1, confidence=0.9, samples=100)
    with torch.no_grad():
        model.eval()
        expected = {
            "right": [loss(model, first, [aro]), loss(model, second, [cid]), loss(model, third, [eor])],
            "none": [loss(model, asked, []) for asked in (first, second, third)],
            "text": [
                loss(model, asked, [text], as_text=True) for asked, text in ((first, aro), (second, cid), (third, eor))
            ],
            "wrong": [  # of the two questions after one's own
                (loss(model, first, [cid]) + loss(model, first, [eor])) / 2,
                (loss(model, second, [eor]) + loss(model, second, [aro])) / 2,
                (loss(model, third, [aro]) + loss(model, third, [cid])) / 2,
            ],
        }
    for condition, values in expected.items():
        assert found["losses"][condition]["mean"] == pytest.approx(sum(values) / 3, abs=1e-4), condition
    assert len({round(sum(values), 3) for values in expected.values()}) == 4


def test_a_document_that_two_questions_share_is_wrong_for_neither(model: ClaraModel) -> None:
    both = tiny.question(0, docs=[0, 1], gold=[0]), tiny.question(1, docs=[2, 0], gold=[1])
    with pytest.raises(DataError, match="questions about different documents"):
        measure(model, both, seed=1, confidence=0.9, samples=100)


def test_a_difference_is_paired_by_question() -> None:
    one = {"right": np.array([1.0, 5.0, 3.0]), "wrong": np.array([2.0, 6.0, 4.0])}
    other = {"right": one["right"] + 0.5, "wrong": one["wrong"]}
    found = difference(one, other, seed=1, confidence=0.9, samples=100)
    # Every question differs by the same, so the interval has no width, far as the questions lie apart.
    assert found["right"] == {"mean": -0.5, "low": -0.5, "high": -0.5}
    assert found["wrong_minus_right"] == {"mean": 0.5, "low": 0.5, "high": 0.5}
