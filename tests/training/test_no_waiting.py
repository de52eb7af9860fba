"""A training step never waits for the device: it runs on torch's meta device, whose numbers nobody can read."""

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator

from clara.errors import DataError
from clara.model.adapters import COMPRESSOR, GENERATOR, QUERY_REASONER
from clara.model.clara import ClaraModel
from clara.training import optim
from clara.training.finite import GradientWatch
from clara.training.joint import JointObjective, RankingObjective
from clara.training.objectives import CompressionObjective, Objective, TextObjective
from clara.training.question_examples import instruction_examples
from clara.training.step import optimizer_step
from tests import tiny


class Memories:
    """A store of nothing."""

    def memories(self, documents: Any) -> torch.Tensor:
        return torch.zeros(len(documents), 4, 64)


def objective(model: ClaraModel, kind: str) -> Objective:
    if kind == "compression":
        return CompressionObjective(model, mse_weight=0.1)
    if kind == "text":
        return TextObjective(model)
    tau = (0.02, 0.02)
    if kind == "ranking":
        return RankingObjective(model, store=Memories(), top_k=2, temperature=tau)
    selection: Any = kind
    return JointObjective(model, store=Memories(), top_k=2, temperature=tau, selection=selection)


@pytest.mark.parametrize("form", ["plain", "pooled"])
@pytest.mark.parametrize("kind", ["compression", "ranking", "straight_through", "gumbel", "soft", "marginal"])
def test_a_step_reads_nothing_from_the_device(
    kind: str, form: str, make_model: Callable[..., ClaraModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = step(make_model(form=form, dropout=0.1), kind, monkeypatch)
    watch = GradientWatch()
    watch.see(1, [], outcome["grad_norm"])
    with pytest.raises(RuntimeError, match="meta"):
        watch.check()  # this is where it waits


@pytest.mark.parametrize("kind", ["compression", "text", "straight_through"])
def test_nor_does_it_with_other_settings(
    kind: str, make_model: Callable[..., ClaraModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model(form="pooled", score="late_interaction")
    model.checkpoint_layers()
    step(model, kind, monkeypatch, micro_batch_tokens=100, gradient_checkpointing=True)


def step(model: ClaraModel, kind: str, monkeypatch: pytest.MonkeyPatch, **plan: Any) -> dict[str, torch.Tensor]:
    """What a step on the meta device gives; it cannot read a number there."""
    model.add_query_reasoner("compressor", question_map=True, document_map=True)
    model.set_salience(tiny.TEXTS)
    assert model.backbone.embedding_scale > 0  # read once, when the model is loaded
    model.to("meta")
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # which knows no such device
    examples = tiny.pair_examples(model)[:4] if kind == "compression" else tiny.question_examples(model)
    if kind == "marginal":
        examples = tiny.question_examples(model, top_k=1)
    if kind == "text":
        questions = tiny.questions()
        options = {"top_k": 2, "max_target_tokens": 9, "seed": 1}
        examples = list(instruction_examples(questions, model.tokens, **options, as_text=True))
    learns = {"compression": [COMPRESSOR, GENERATOR], "ranking": [QUERY_REASONER], "text": [GENERATOR]}
    parameters = model.set_learning(learns.get(kind, [QUERY_REASONER, GENERATOR]))
    optimizer = optim.build(parameters, learning_rate=1e-3, weight_decay=0.0)
    outcome = optimizer_step(
        model, objective(model, kind), examples, optimizer, parameters, 1, tiny.plan(**plan), 5, Accelerator(cpu=True)
    )
    assert {value.device.type for value in outcome.values()} == {"meta"}
    return outcome


def test_a_fault_between_two_logged_steps_is_named_with_its_step(
    make_model: Callable[..., ClaraModel], tmp_path: Path
) -> None:
    watch = GradientWatch()
    examples = tiny.pair_examples(make_model())
    for step, norm in enumerate([1.0, float("nan"), float("inf"), 2.0], start=1):
        watch.see(step, examples[step : step + 1], torch.tensor(norm))
    with pytest.raises(DataError, match=f"step 2: the gradient is not finite; its examples are {examples[2].key}"):
        watch.check()
