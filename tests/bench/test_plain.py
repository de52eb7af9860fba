"""The fast path gives what its slow twin gives: memories, losses, gradients, answers."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from clara.bench import plain
from clara.config.evaluation import Generation
from clara.evaluation.answering import Pool
from clara.evaluation.predict import with_memories
from clara.model import checkpoint
from clara.model.adapters import COMPRESSOR, GENERATOR, QUERY_REASONER
from clara.model.clara import ClaraModel
from clara.model.encoding import encode_texts
from clara.model.store import MemoryStore
from clara.training.joint import JointObjective
from clara.training.objectives import CompressionObjective, Totals
from tests import tiny


def gradients(model: ClaraModel, roles: list[str], loss: torch.Tensor) -> dict[str, torch.Tensor]:
    found = torch.autograd.grad(
        loss, parameters := [p for role in roles for p in model.role_parameters(role)], allow_unused=True
    )
    assert sum(value is not None for value in found) > len(found) / 2
    return {
        str(n): torch.zeros_like(p) if g is None else g for n, (p, g) in enumerate(zip(parameters, found, strict=True))
    }


@pytest.mark.parametrize("form", ["plain", "pooled"])
@pytest.mark.parametrize("family", ["llama", "gemma"])
def test_memories_equal_those_of_the_plain_path(family: str, form: str, make_model: Callable[..., ClaraModel]) -> None:
    model = make_model(family, form=form).eval()
    model.set_salience(tiny.TEXTS)
    inputs = [model.tokens.to_compress(text) for text in tiny.TEXTS]
    found = encode_texts(model, inputs, batch_tokens=96)
    torch.testing.assert_close(found, plain.compress_all(model, tiny.TEXTS), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("form", ["plain", "pooled"])
def test_a_pretraining_step_has_the_loss_and_gradients_of_the_plain_path(
    form: str, make_model: Callable[..., ClaraModel]
) -> None:
    model = make_model(form=form)
    roles = [COMPRESSOR, GENERATOR]
    model.set_learning(roles)
    examples = tiny.pair_examples(model)[:5]
    objective = CompressionObjective(model, mse_weight=0.1)
    ours = objective(examples, Totals.of(examples), progress=0.0, seed=0).loss
    slow = plain.pretraining_loss(model, examples, mse_weight=0.1)
    torch.testing.assert_close(ours, slow, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(gradients(model, roles, ours), gradients(model, roles, slow), atol=1e-5, rtol=1e-3)


def joint(make_model: Callable[..., ClaraModel], folder: Path) -> tuple[checkpoint.LoadedCheckpoint, Path]:
    """A joint checkpoint whose reasoner says something of its own, and the store of its compressor."""
    model = make_model()
    model.add_query_reasoner("compressor")
    tiny.stir(model, seed=4)
    loaded = checkpoint.load(tiny.save(model, folder / "joint", stage="joint"), dtype="float32")
    return loaded, tiny.store(loaded, folder)


def test_a_joint_step_from_the_store_has_the_loss_and_gradients_of_recompression(
    make_model: Callable[..., ClaraModel], tmp_path: Path
) -> None:
    loaded, store = joint(make_model, tmp_path)
    model, roles = loaded.model, [QUERY_REASONER, GENERATOR]
    model.set_learning(roles)
    examples = tiny.question_examples(model)
    objective = JointObjective(
        model, store=MemoryStore(store), top_k=2, temperature=(0.3, 0.3), selection="straight_through",
    )  # fmt: skip
    ours = objective(examples, Totals.of(examples), progress=0.0, seed=0).loss
    slow = plain.joint_loss(model, examples, k=2, temperature=0.3, question_tokens=48)
    torch.testing.assert_close(ours, slow, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(gradients(model, roles, ours), gradients(model, roles, slow), atol=1e-5, rtol=1e-3)


def test_answers_from_the_store_are_those_of_recompression(
    make_model: Callable[..., ClaraModel], tmp_path: Path
) -> None:
    loaded, _ = joint(make_model, tmp_path)
    model, asked = loaded.model, tiny.questions()
    for weight in model.backbone.body.layers.parameters():
        weight.data *= 4  # an untrained model else repeats its last token, whatever came before
    store = tiny.store(loaded, tmp_path / "louder")
    slow = plain.answers(model, [q.question for q in asked], [q.docs for q in asked], k=2, max_new_tokens=8)
    generation = Generation(max_new_tokens=8, batch_size=3, engine="transformers")
    ours = with_memories("x", loaded, store, [Pool("nq", "oracle", asked)], top_k=2, generation=generation, state=None)
    assert [row.prediction for row in ours] == slow
    assert len(set(slow)) > 1
