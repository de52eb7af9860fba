"""How the query reasoner ranks pools: many together as each by itself, and on the device where the model is."""

import weakref
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor

from clara.evaluation import selection
from clara.evaluation.answering import Pool, Task
from clara.evaluation.selection import select_with_reasoner
from clara.model.adapters import QUERY_REASONER
from clara.model.clara import ClaraModel
from clara.model.encoding import encode_texts
from clara.tokens import CompressorInput
from tests import tiny
from tests.training.test_objectives import Memories

Make = Callable[..., ClaraModel]
POOLS = [Pool("nq", "oracle", tiny.questions()), Pool("nq", "normal", tiny.questions()[:1])]


def reasoning(make_model: Make, score: str) -> ClaraModel:
    model = make_model(score=score)
    model.add_query_reasoner("compressor")
    tiny.stir(model, seed=9)
    return model.eval()


@pytest.mark.parametrize("score", ["flattened", "late_interaction"])
def test_pools_are_scored_together_as_each_by_itself(
    score: str, make_model: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selection, "SCORED_TOGETHER", 3)
    model = reasoning(make_model, score)
    store = Memories(model)
    tasks = select_with_reasoner(model, store, POOLS, top_k=2)  # type: ignore[arg-type]
    assert [(task.pool.setting, task.question.id) for task in tasks] == [
        ("oracle", "q0"), ("oracle", "q1"), ("oracle", "q2"), ("oracle", "q3"), ("normal", "q0"),
    ]  # fmt: skip
    for task in tasks:
        asked = encode_texts(
            model, [model.tokens.to_compress(task.question.question)], batch_tokens=512, role=QUERY_REASONER
        )
        wanted = model.scores(asked, store.memories(task.question.docs)[None])[0]
        assert task.scores == pytest.approx(wanted.tolist(), abs=2e-6)
        assert task.ranking == wanted.argsort(descending=True).tolist()
        assert task.selected == task.ranking[:2]


def test_every_question_is_encoded_once_and_few_are_held_together(
    make_model: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = reasoning(make_model, "flattened")
    store = Memories(model)
    wanted = select_with_reasoner(model, store, POOLS, top_k=2)  # type: ignore[arg-type]
    counts: list[int] = []
    held: list[weakref.ref[Tensor]] = []

    def counting(model: ClaraModel, inputs: Sequence[CompressorInput], **options: Any) -> Tensor:
        counts.append(len(inputs))
        assert [each() for each in held] == [None] * len(held)
        found = encode_texts(model, inputs, **options)
        held.append(weakref.ref(found))
        return found

    monkeypatch.setattr(selection, "ENCODED_TOGETHER", 3)
    monkeypatch.setattr(selection, "encode_texts", counting)
    tasks = select_with_reasoner(model, store, POOLS, top_k=2)  # type: ignore[arg-type]
    assert counts == [3, 1]  # of four questions, one of which is asked in two pools
    assert [(task.pool, task.question, task.ranking, task.selected) for task in tasks] == [
        (task.pool, task.question, task.ranking, task.selected) for task in wanted
    ]
    for task, other in zip(tasks, wanted, strict=True):
        assert task.scores == pytest.approx(other.scores, abs=2e-6)


@pytest.mark.parametrize("score", ["flattened", "late_interaction"])
def test_pools_are_scored_on_the_device_where_the_model_is(
    score: str, make_model: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch's meta device stands for a GPU: what meets a tensor of another device there fails, reading gives zeros."""
    model = reasoning(make_model, score)
    store = Memories(model)
    model.to("meta")
    seen: list[str] = []
    inner = model.scores

    def scores(questions: Tensor, candidates: Tensor, valid: Tensor) -> Tensor:
        seen.append(questions.device.type)
        return inner(questions, candidates, valid)

    def read(tensor: Tensor) -> Tensor:
        return torch.zeros(tensor.shape, dtype=tensor.dtype)

    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # which knows no such device
    monkeypatch.setattr(Tensor, "cpu", read)
    monkeypatch.setattr(model, "scores", scores)
    tasks: Sequence[Task] = select_with_reasoner(model, store, POOLS, top_k=2)  # type: ignore[arg-type]
    assert seen == ["meta"]
    assert [len(task.ranking or []) for task in tasks] == [4, 3, 6, 4, 4]
