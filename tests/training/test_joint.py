import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor

from clara.losses import marginal_losses, ranking_losses
from clara.model.adapters import GENERATOR, QUERY_REASONER
from clara.model.clara import ClaraModel
from clara.model.generator import TargetLosses
from clara.model.topk import gumbel_noise, top_k
from clara.training import optim
from clara.training.joint import NOISE, RankingObjective, ScoredPools
from clara.training.objectives import Totals
from clara.training.step import optimizer_step
from tests import tiny
from tests.training.test_objectives import Memories, joint, who_learned

Make = Callable[..., ClaraModel]


def ranking(model: ClaraModel, *, tau: float = 0.1) -> RankingObjective:
    if not model.has_query_reasoner:
        model.add_query_reasoner("compressor")
        tiny.stir(model, seed=9)
    return RankingObjective(model, store=Memories(model), top_k=1, temperature=(tau, tau))


def double(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("tau", [0.02, 0.3, 2.0])
def test_the_marginal_gradient_moves_scores_from_prior_to_posterior(tau: float) -> None:
    scores, likelihood = double(3, 4, seed=1).requires_grad_(), double(3, 4, seed=2).requires_grad_()
    loss = marginal_losses((scores / tau).log_softmax(-1), likelihood)
    loss.sum().backward()
    prior = (scores / tau).softmax(-1).detach()
    joint_p = prior * likelihood.detach().exp()
    torch.testing.assert_close(loss.detach(), -joint_p.sum(-1).log(), rtol=1e-10, atol=1e-10)
    posterior = joint_p / joint_p.sum(-1, keepdim=True)
    torch.testing.assert_close(scores.grad, (prior - posterior) / tau, rtol=1e-6, atol=1e-10)
    torch.testing.assert_close(likelihood.grad, -posterior, rtol=1e-6, atol=1e-10)


def test_the_marginal_gradient_is_the_probability_path_of_the_papers_analysis() -> None:
    """dL/ds_d = -(1/p(y)) p(d) (p(y|d) - p(y)), appendix A, path I, with s in units of τ."""
    scores = double(1, 3, seed=3).requires_grad_()
    answer = torch.tensor([[0.9, 0.2, 0.1]], dtype=torch.float64)
    marginal_losses(scores.log_softmax(-1), answer.log()).sum().backward()
    p = scores.detach().softmax(-1)
    whole = (p * answer).sum()
    torch.testing.assert_close(scores.grad, -p * (answer - whole) / whole, rtol=1e-10, atol=1e-12)
    assert scores.grad is not None
    assert scores.grad[0, 0] < 0  # the document that helps gains


def test_what_is_left_of_a_mask_reaches_the_loss(make_model: Make) -> None:
    """The released mask, which leaves something of a taken document, at a temperature where that something counts."""
    model = make_model()
    objective = joint(model, tau=2.0)
    objective.selection = "soft"
    examples = tiny.question_examples(model)
    losses = []
    for objective.mask_epsilon in (0.0, 0.5):
        loss = objective(examples, Totals.of(examples), progress=0.0, seed=1).loss
        losses.append(float(loss.detach()))
    assert abs(losses[0] - losses[1]) > 1e-5


def test_absent_documents_take_no_part_in_a_marginal_loss() -> None:
    scores = torch.tensor([[0.5, 0.1, 0.0]], requires_grad=True)
    prior = scores.masked_fill(torch.tensor([[False, False, True]]), -torch.inf).log_softmax(-1)
    loss = marginal_losses(prior, torch.tensor([[-1.0, -2.0, 0.0]]))
    alone = marginal_losses(scores.detach()[:, :2].log_softmax(-1), torch.tensor([[-1.0, -2.0]]))
    torch.testing.assert_close(loss.detach(), alone)
    loss.sum().backward()
    assert scores.grad is not None
    assert scores.grad.isfinite().all()
    assert scores.grad[0, 2] == 0


def test_the_marginal_objective_sums_answers_from_one_document_each(model: ClaraModel) -> None:
    objective = joint(model, selection="marginal", top_k=5, tau=0.3)  # more than some pools hold
    model.eval()
    examples = tiny.question_examples(model, top_k=1)
    with torch.no_grad():
        found = objective(examples, Totals.of(examples), progress=0, seed=0)
        expected = 0.0
        for item in examples:
            query = model.encode(QUERY_REASONER, [model.tokens.to_compress(item.question)]).vectors.flatten()
            stored = objective.store.memories(item.documents)
            scores = torch.cosine_similarity(query[None], stored.flatten(1))
            best = scores.argsort(descending=True)[:5]
            prior = (scores[best] / 0.3).softmax(-1)
            nats = [float(model.losses([item.prompt], [item.target], stored[i][None]).sums) for i in best]
            # Shifted by the least loss: an untrained model gives an answer e^-100.
            shift = min(nats)
            likelihood = sum(float(p) * math.exp(shift - loss) for p, loss in zip(prior, nats, strict=True))
            expected += shift - math.log(likelihood)
    assert float(found.loss) == pytest.approx(expected / Totals.of(examples).tokens, rel=1e-5)


@pytest.mark.parametrize("learns", [[QUERY_REASONER, GENERATOR], [QUERY_REASONER]])
def test_the_marginal_objective_teaches_exactly_the_roles_listed(learns: list[str], model: ClaraModel) -> None:
    objective = joint(model, selection="marginal", tau=1.0)
    model.set_learning(learns)
    model.train()
    examples = tiny.question_examples(model, top_k=1)
    objective(examples, Totals.of(examples), progress=0, seed=0).loss.backward()
    assert who_learned(model) == set(learns)


def leaf_scores(monkeypatch: pytest.MonkeyPatch) -> list[ScoredPools]:
    """Cuts joint objectives off from the query reasoner: pools that they score come here, with scores as leaves."""
    from clara.training import joint as objectives

    found: list[ScoredPools] = []
    score = objectives.score_pools

    def leaves(*given: Any) -> ScoredPools:
        pools = score(*given)
        found.append(pools._replace(scores=pools.scores.detach().requires_grad_()))
        return found[-1]

    monkeypatch.setattr(objectives, "score_pools", leaves)
    return found


@pytest.mark.parametrize("selection", ["straight_through", "gumbel", "soft"])
def test_the_scores_of_an_objective_get_the_closed_form_of_the_representation_path(
    selection: str, model: ClaraModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """dL/ds_i = (1/τ) Σ_j p_ji (G_j·M_i - Σ_l p_jl G_j·M_l), appendix A, path II; pools differ in size."""
    tau, read = 0.3, []
    found, losses = leaf_scores(monkeypatch), model.losses

    def reading(prompts: Any, targets: Any, memories: Tensor) -> Any:
        memories.retain_grad()
        read.append(memories)
        return losses(prompts, targets, memories)

    objective = joint(model, selection=selection, tau=tau)
    monkeypatch.setattr(model, "losses", reading)
    model.train()
    examples = tiny.question_examples(model)
    objective(examples, Totals.of(examples), progress=0, seed=5).loss.backward()
    ((memories, scores, valid),) = found
    noise = gumbel_noise(scores, torch.Generator().manual_seed(5 ^ NOISE)) if selection == "gumbel" else None
    chosen = top_k(scores.detach(), valid=valid, k=2, temperature=tau, noise=noise)
    p, flat = chosen.weights, memories.flatten(2)
    hard = torch.stack([pool[rows] for pool, rows in zip(memories, chosen.indices, strict=True)])
    mixed = (p @ flat).unflatten(-1, memories.shape[2:])
    torch.testing.assert_close(read[0].detach(), (mixed if selection == "soft" else hard).flatten(0, 1))
    assert not torch.allclose(mixed, hard, atol=1e-3)
    assert read[0].grad is not None
    products = read[0].grad.unflatten(0, (4, 2)).flatten(2) @ flat.transpose(1, 2)
    expected = (p * (products - (p * products).sum(-1, keepdim=True))).sum(1) / tau
    torch.testing.assert_close(scores.grad, expected, rtol=1e-4, atol=1e-7)


def test_the_scores_of_the_marginal_objective_get_the_probability_path_alone(
    model: ClaraModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    tau, likelihoods = 0.3, []
    found, losses = leaf_scores(monkeypatch), model.losses

    def reading(*given: Any) -> Any:
        likelihoods.append(-losses(*given).sums)
        return TargetLosses(-likelihoods[-1], torch.ones_like(likelihoods[-1]))

    objective = joint(model, selection="marginal", top_k=2, tau=tau)
    monkeypatch.setattr(model, "losses", reading)
    examples = tiny.question_examples(model, top_k=1)
    totals = Totals.of(examples)
    objective(examples, totals, progress=0, seed=0).loss.backward()
    ((_, scores, valid),) = found
    best = scores.detach().masked_fill(~valid, -torch.inf).topk(2)
    prior = (best.values / tau).softmax(-1)
    posterior = (prior.log() + likelihoods[0].detach().unflatten(0, (4, 2))).softmax(-1)
    expected = torch.zeros_like(scores).scatter(1, best.indices, (prior - posterior) / tau / totals.tokens)
    torch.testing.assert_close(scores.grad, expected, rtol=1e-4, atol=1e-7)


def test_ranking_losses_by_hand() -> None:
    logits = torch.tensor([[2.0, 1.0, 0.0], [1.0, 1.0, 5.0], [0.0, 0.0, 0.0], [1.0, 2.0, 3.0]])
    positive = torch.tensor([[1, 0, 0], [1, 1, 0], [0, 0, 0], [1, 1, 1]]).bool()
    valid = torch.tensor([[1, 1, 1], [1, 1, 1], [1, 1, 0], [1, 1, 1]]).bool()
    expected = [
        math.log(1 + math.exp(-1) + math.exp(-2)),
        math.log(1 + math.exp(4)),  # both positives stand 4 below the negative and do not compete with each other
        0.0,  # no positive
        0.0,  # no negative
    ]
    assert ranking_losses(logits, positive=positive, valid=valid).tolist() == pytest.approx(expected, abs=1e-6)


def test_ranking_gradients_are_finite_where_nothing_can_be_learned_and_leave_padding_alone() -> None:
    logits = torch.tensor([[0.0, 0.0], [1.0, 2.0], [1.0, 0.0]], requires_grad=True)
    positive = torch.tensor([[0, 0], [1, 1], [1, 0]]).bool()
    valid = torch.tensor([[1, 1], [1, 1], [1, 0]]).bool()
    ranking_losses(logits, positive=positive, valid=valid).sum().backward()
    assert logits.grad is not None
    assert logits.grad.tolist() == [[0, 0], [0, 0], [0, 0]]


def test_supervised_ranking_teaches_the_query_reasoner_alone(make_model: Make) -> None:
    model = make_model()
    objective = ranking(model)
    model.set_learning([QUERY_REASONER])
    model.train()
    examples = tiny.question_examples(model)
    objective(examples, Totals.of(examples), progress=0, seed=0).loss.backward()
    assert who_learned(model) == {QUERY_REASONER}


def test_a_questions_ranking_loss_does_not_depend_on_its_neighbours(model: ClaraModel) -> None:
    objective = ranking(model)
    model.eval()
    examples = tiny.question_examples(model)
    totals = Totals.of(examples)
    with torch.no_grad():
        whole = objective(examples, totals, progress=0, seed=0)
        parts = [objective([item], totals, progress=0, seed=0) for item in examples]
    assert sum(float(part.loss) for part in parts) == pytest.approx(float(whole.loss), rel=1e-5)
    for name, value in whole.metrics.items():
        assert sum(float(part.metrics[name]) for part in parts) == pytest.approx(float(value), rel=1e-4)


def test_supervised_ranking_brings_the_gold_documents_up(model: ClaraModel) -> None:
    objective = ranking(model)
    examples = tiny.question_examples(model)
    parameters = model.set_learning([QUERY_REASONER])
    optimizer = optim.build(parameters, learning_rate=1e-2, weight_decay=0.0)
    plan = tiny.plan(batch_size=4, micro_batch_size=4)
    with torch.no_grad():
        assert objective(examples, Totals.of(examples), progress=0, seed=0).metrics["recall@1"] < 1
    for step in range(1, 101):
        outcome = optimizer_step(
            model, objective, examples, optimizer, parameters, step, plan, 5, Accelerator(cpu=True)
        )
        if outcome["recall@1"] == 1 and outcome["loss"] < 0.1:
            break
    assert outcome["recall@1"] == 1
    assert outcome["loss"] < 0.1


def test_logged_recall_is_the_mean_over_the_questions_that_have_gold_documents(make_model: Make) -> None:
    model = make_model().eval()
    objective = joint(model)
    known = tiny.question_examples(model)
    unknown = [replace(example, key=f"{example.key}-unlabelled", gold=()) for example in known]
    with torch.no_grad():
        alone = objective(known, Totals.of(known), progress=0.0, seed=0).metrics["recall@2"]
        mixed = objective([*known, *unknown], Totals.of([*known, *unknown]), progress=0.0, seed=0).metrics["recall@2"]
    assert float(alone) > 0
    torch.testing.assert_close(mixed, alone)
