from collections.abc import Sequence

import pytest

from clara.model.clara import ClaraModel
from clara.training.examples import Lost
from clara.training.question_examples import instruction_examples, joint_examples, narrowed
from tests import tiny


def test_instruction_keeps_the_gold_and_fills_with_others_in_the_seeds_order(model: ClaraModel) -> None:
    made = [
        list(instruction_examples(tiny.questions(), model.tokens, top_k=3, max_target_tokens=9, seed=s))
        for s in (1, 1, 2)
    ]
    assert made[0] == made[1] != made[2]
    for found in made[0]:
        asked = next(question for question in tiny.questions() if question.id == found.key)
        assert len(set(found.documents)) == 3
        assert asked.docs[asked.pos_index[0]] in found.documents
        assert found.prompt == model.tokens.answer_prompt(asked.question, 3)


def test_small_pools_give_prompts_with_as_many_slots(model: ClaraModel) -> None:
    small = [tiny.question(0, docs=[1], gold=[0])]
    for found in (
        *instruction_examples(small, model.tokens, top_k=5, max_target_tokens=9, seed=0),
        *joint_examples(small, model.tokens, top_k=5, max_target_tokens=9),
    ):
        assert found.prompt.count(model.added.sep) == 1


def test_joint_examples_hold_the_whole_pool_in_order(model: ClaraModel) -> None:
    found = tiny.question_examples(model)
    assert [len(item.documents) for item in found] == [4, 3, 6, 4]
    assert list(found[1].documents) == tiny.questions()[1].docs
    assert found[1].target == [*model.tokens.text("1887"), model.backbone.end_of_turn]


@pytest.mark.parametrize(
    ("most", "numbers", "gold"),
    [(None, range(6), [3, 5]), (6, range(6), [3, 5]), (4, [0, 1, 3, 5], [2, 3]), (2, [3, 5], [0, 1]), (1, [3], [0])],
)
def test_fewer_candidates_are_the_gold_ones_and_the_first_others(
    most: int | None, numbers: Sequence[int], gold: list[int]
) -> None:
    found = narrowed(tiny.question(0, docs=range(6), gold=[3, 5]), most)
    assert found.docs == [tiny.TEXTS[number] for number in numbers]
    assert found.pos_index == gold


def test_an_answer_that_lost_its_end_is_told(model: ClaraModel) -> None:
    (asked,), tokens = tiny.questions()[1:2], model.tokens
    whole = len(tokens.text("1887")) + 1
    for limit, lost in ((whole, 0), (whole - 1, 1)):
        options = {"top_k": 2, "max_target_tokens": limit}
        for found in (
            *instruction_examples([asked], tokens, seed=0, **options),
            *joint_examples([asked], tokens, **options),
        ):
            assert found.lost == Lost(0, lost, 0)
            assert len(found.target) == limit
