"""How the query reasoner ranks pools: many together as each by itself, and on the device where the model is."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext

import pytest
import torch
from torch import Tensor

from clara.evaluation import predict
from clara.evaluation.answering import Pool
from clara.evaluation.predict import select_with_reasoner
from clara.model.adapters import QUERY_REASONER
from clara.model.clara import ClaraModel
from clara.model.encoding import encode_texts
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
    monkeypatch.setattr(predict, "SCORED_TOGETHER", 3)
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
    tasks: Sequence[predict.Task] = select_with_reasoner(model, store, POOLS, top_k=2)  # type: ignore[arg-type]
    assert seen == ["meta"]
    assert [len(task.ranking or []) for task in tasks] == [4, 3, 6, 4, 4]
