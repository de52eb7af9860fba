from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from clara.losses import alignment_losses
from clara.model import checkpoint
from clara.model.adapters import COMPRESSOR, GENERATOR, QUERY_REASONER
from clara.model.clara import ClaraModel
from clara.model.encoding import encode_texts
from clara.model.scoring import cosine_scores
from clara.model.store import MemoryStore
from clara.training.joint import JointObjective
from clara.training.objectives import CompressionObjective, Totals
from tests import tiny

Make = Callable[..., ClaraModel]


class Memories:
    """Memories of documents, given by text."""

    def __init__(self, model: ClaraModel) -> None:
        inputs = [model.tokens.to_compress(text) for text in tiny.TEXTS]
        self.vectors = dict(zip(tiny.TEXTS, encode_texts(model, inputs, batch_tokens=512).clone(), strict=True))

    def memories(self, documents: Sequence[str]) -> Tensor:
        return torch.stack([self.vectors[text] for text in documents])


def joint(
    model: ClaraModel, *, top_k: int = 2, selection: str = "straight_through", tau: float = 0.1
) -> JointObjective:
    if not model.has_query_reasoner:
        model.add_query_reasoner("compressor")
        tiny.stir(model, seed=9)
    return JointObjective(
        model,
        store=Memories(model),
        top_k=top_k,
        temperature=(tau, tau),
        selection=selection,  # type: ignore[arg-type]
    )


def who_learned(model: ClaraModel) -> set[str]:
    """Roles with gradients; every parameter of such a role must have one, and at least one that is not zero."""
    found = set()
    named = {id(p): role for role in model.roles for p in model.role_parameters(role)}
    for parameter in model.parameters():
        if parameter.grad is not None:
            found.add(named[id(parameter)])  # a KeyError here is a backbone that learned
    for role in found:
        for parameter in model.role_parameters(role):
            assert parameter.grad is not None
            assert parameter.grad.ne(0).any()
    return found


@pytest.mark.parametrize("form", ["plain", "pooled"])
@pytest.mark.parametrize("learns", [[COMPRESSOR, GENERATOR], [GENERATOR], [COMPRESSOR]])
def test_compression_teaches_exactly_the_roles_listed(learns: list[str], form: str, make_model: Make) -> None:
    model = make_model(form=form)
    model.set_learning(learns)
    model.train()
    examples = tiny.pair_examples(model)[:4]
    CompressionObjective(model, mse_weight=0.1)(examples, Totals.of(examples), progress=0, seed=0).loss.backward()  # type: ignore[no-untyped-call]
    assert who_learned(model) == set(learns)


@pytest.mark.parametrize("selection", ["straight_through", "gumbel", "soft"])
@pytest.mark.parametrize("learns", [[QUERY_REASONER, GENERATOR], [GENERATOR], [QUERY_REASONER]])
def test_joint_training_teaches_exactly_the_roles_listed(learns: list[str], selection: str, make_model: Make) -> None:
    model = make_model()
    objective = joint(model, selection=selection)
    model.set_learning(learns)
    model.train()
    examples = tiny.question_examples(model)
    objective(examples, Totals.of(examples), progress=0, seed=0).loss.backward()  # type: ignore[no-untyped-call]
    assert who_learned(model) == set(learns)


def test_the_compression_loss_is_nats_a_token_plus_weighted_alignment_an_example(model: ClaraModel) -> None:
    model.eval()
    examples = tiny.pair_examples(model)[:5]
    with torch.no_grad():
        found = CompressionObjective(model, mse_weight=0.5)(examples, Totals.of(examples), progress=0, seed=0)
        sums, mse, tokens = 0.0, 0.0, 0
        for item in examples:
            memories = model.encode(COMPRESSOR, [model.tokens.to_compress(item.documents[0])])
            sums += float(model.losses([item.prompt], [item.target], memories.vectors).sums)
            mse += float(alignment_losses(memories.text_mean, memories.memory_mean))
            tokens += len(item.target)
    assert float(found.loss) == pytest.approx(sums / tokens + 0.5 * mse / 5, rel=1e-5)
    assert float(found.metrics["ce"]) == pytest.approx(sums / tokens, rel=1e-5)


def test_a_document_named_twice_is_compressed_once(model: ClaraModel, monkeypatch: pytest.MonkeyPatch) -> None:
    examples = tiny.pair_examples(model)[:3]
    sizes = []
    encode = model.encode
    monkeypatch.setattr(model, "encode", lambda role, inputs: sizes.append(len(inputs)) or encode(role, inputs))
    CompressionObjective(model, mse_weight=0.1)(examples, Totals.of(examples), progress=0, seed=0)
    assert sizes == [len({item.documents for item in examples})]


def test_shares_of_a_step_add_up_to_the_whole(make_model: Make) -> None:
    model = make_model().eval()
    with torch.no_grad():
        for objective, examples in (
            (CompressionObjective(model, mse_weight=0.3), tiny.pair_examples(model)[:4]),
            (joint(model), tiny.question_examples(model)),
        ):
            totals = Totals.of(examples)
            whole = objective(examples, totals, progress=0, seed=0)
            parts = [objective([item], totals, progress=0, seed=0) for item in examples]
            assert sum(float(part.loss) for part in parts) == pytest.approx(float(whole.loss), rel=1e-5)
            for name, value in whole.metrics.items():
                assert sum(float(part.metrics[name]) for part in parts) == pytest.approx(float(value), rel=1e-4)


def test_the_joint_loss_from_the_store_equals_recomputation(make_model: Make, tmp_path: Path) -> None:
    model = make_model(dropout=0.3)
    loaded = checkpoint.load(tiny.save(model, tmp_path / "checkpoint"), dtype="float32")
    model = loaded.model
    objective = joint(model)
    objective.store = MemoryStore(tiny.store(loaded, tmp_path))
    examples = tiny.question_examples(model)
    model.eval()
    with torch.no_grad():
        found = objective(examples, Totals.of(examples), progress=0, seed=0)
        sums, recall = 0.0, 0.0
        for item, asked in zip(examples, tiny.questions(), strict=True):
            query = model.encode(QUERY_REASONER, [model.tokens.to_compress(item.question)]).vectors
            documents = model.encode(COMPRESSOR, [model.tokens.to_compress(text) for text in item.documents]).vectors
            best = cosine_scores(query, documents[None])[0].argsort(descending=True)[:2]
            sums += float(model.losses([item.prompt], [item.target], documents[best]).sums)
            recall += len(set(best.tolist()) & set(asked.pos_index)) / len(asked.pos_index)
    tokens = sum(len(item.target) for item in examples)
    assert float(found.loss) == pytest.approx(sums / tokens, rel=1e-5)
    assert float(found.metrics["recall@2"]) == pytest.approx(recall / 4)


def test_a_questions_share_does_not_depend_on_its_neighbours(model: ClaraModel) -> None:
    objective = joint(model)
    model.eval()
    examples = tiny.question_examples(model)
    totals = Totals.of(examples)
    with torch.no_grad():
        alone = objective(examples[1:2], totals, progress=0, seed=0).loss  # the smallest pool
        rest = objective([examples[0], *examples[2:]], totals, progress=0, seed=0).loss
        whole = objective(examples, totals, progress=0, seed=0).loss
    torch.testing.assert_close(alone + rest, whole)


def test_noise_is_for_training_only(model: ClaraModel) -> None:
    noisy, plain = joint(model, selection="gumbel", tau=5.0), joint(model, tau=5.0)
    examples = tiny.question_examples(model)

    def loss(objective: JointObjective, seed: int) -> float:
        with torch.no_grad():
            return float(objective(examples, Totals.of(examples), progress=0, seed=seed).loss)

    model.train()
    drawn = [loss(noisy, seed) for seed in range(4)]
    assert len(set(drawn)) > 1
    assert loss(noisy, 0) == drawn[0]
    model.eval()
    assert loss(noisy, 1) == loss(plain, 1)


def test_noise_and_dropout_draw_from_streams_of_their_own(model: ClaraModel, monkeypatch: pytest.MonkeyPatch) -> None:
    from clara.training import joint as objectives

    drawn: list[torch.Tensor] = []

    def recording(scores: torch.Tensor, chance: torch.Generator) -> torch.Tensor:
        drawn.append(torch.rand(8, generator=chance))
        return torch.zeros_like(scores)

    monkeypatch.setattr(objectives, "gumbel_noise", recording)
    examples, objective = tiny.question_examples(model), joint(model, selection="gumbel")
    model.train()
    for seed in range(3):
        objective(examples, Totals.of(examples), progress=0, seed=seed)
        torch.manual_seed(seed)  # as the loop does, for dropout
        assert not torch.equal(drawn[-1], torch.rand(8))
    assert len({tuple(one.tolist()) for one in drawn}) == 3


def test_the_temperature_moves_geometrically(model: ClaraModel, monkeypatch: pytest.MonkeyPatch) -> None:
    from clara.training import joint as objectives

    seen = []
    top_k = objectives.top_k
    monkeypatch.setattr(
        objectives, "top_k", lambda scores, **rest: seen.append(rest["temperature"]) or top_k(scores, **rest)
    )
    objective = joint(model)
    objective.temperature = (1.0, 0.01)
    examples = tiny.question_examples(model)
    for progress in (0.0, 0.5, 1.0):
        objective(examples, Totals.of(examples), progress=progress, seed=0)
    assert seen == pytest.approx([1.0, 0.1, 0.01])
