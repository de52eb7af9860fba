from typing import Literal

import pytest
import torch
from torch import Tensor

from clara.model.scoring import cosine_scores
from clara.model.topk import Selection, gather_selected, gumbel_noise, top_k


def select(scores: Tensor, k: int, temperature: float = 0.02, valid: Tensor | None = None) -> Selection:
    if valid is None:
        valid = torch.ones_like(scores, dtype=torch.bool)
    return top_k(scores, valid=valid, k=k, temperature=temperature)


def test_the_best_come_first_and_soft_rows_are_softmaxes_of_what_is_left() -> None:
    chosen = select(torch.tensor([[0.1, 0.5, 0.3]], dtype=torch.float64), k=2, temperature=0.2)
    assert chosen.indices.tolist() == [[1, 2]]
    first = torch.tensor([0.5, 2.5, 1.5], dtype=torch.float64).exp()
    torch.testing.assert_close(chosen.weights[0, 0], first / first.sum())
    left = torch.tensor([0.5, 1.5], dtype=torch.float64).exp()
    torch.testing.assert_close(chosen.weights[0, 1], torch.tensor([left[0], 0.0, left[1]]) / left.sum())


@pytest.mark.parametrize("temperature", [1e-4, 1e-2, 0.02, 0.37, 1.0, 10.0])
def test_a_taken_document_has_no_mass_at_any_temperature(temperature: float) -> None:
    scores = torch.tensor([[0.9, 0.4, 0.3, 0.2], [0.5, 0.5, -1.0, 1.0]])
    chosen = select(scores, k=4, temperature=temperature)
    for question in range(2):
        for slot in range(4):
            taken = chosen.indices[question, :slot]
            assert chosen.weights[question, slot, taken].eq(0).all()
    torch.testing.assert_close(chosen.weights.sum(-1), torch.ones(2, 4))


@pytest.mark.parametrize("form", ["straight_through", "soft"])
@pytest.mark.parametrize("noisy", [False, True])
@pytest.mark.parametrize("k", [1, 3, 6])
@pytest.mark.parametrize("temperature", [0.02, 0.3, 5.0])
def test_the_score_gradient_is_the_closed_form(
    k: int, temperature: float, noisy: bool, form: Literal["straight_through", "soft"]
) -> None:
    chance = torch.Generator().manual_seed(k)
    start = torch.rand(3, 6, dtype=torch.float64, generator=chance)
    start[1, 2:5] = start[1, 1]  # ties
    valid = torch.ones_like(start, dtype=torch.bool)
    valid[2, 2:] = False  # two candidates, fewer than k for k = 3 and 6
    scores = start.requires_grad_()
    memories = torch.randn(3, 6, 3, 5, dtype=torch.float64, generator=chance)
    noise = gumbel_noise(scores.detach(), chance) if noisy else None
    chosen = top_k(scores, valid=valid, k=k, temperature=temperature, noise=noise)
    slots = gather_selected(memories, chosen, form=form)
    slots.retain_grad()
    (slots.sin() * torch.randn(slots.shape, dtype=torch.float64, generator=chance)).sum().backward()
    assert slots.grad is not None
    products = torch.einsum("bjmd,bnmd->bjn", slots.grad, memories)
    p = chosen.weights.detach()
    expected = (p * (products - (p * products).sum(-1, keepdim=True))).sum(1) / temperature
    assert scores.grad is not None
    torch.testing.assert_close(scores.grad, expected, rtol=1e-6, atol=1e-12)


def test_slots_hold_the_hard_documents_exactly_and_pass_their_gradient_on() -> None:
    memories = torch.randn(1, 4, 2, 3, requires_grad=True)
    chosen = select(torch.tensor([[0.1, 0.9, 0.4, 0.2]]), k=2)
    slots = gather_selected(memories, chosen)
    assert torch.equal(slots, memories[:, [1, 2]])
    slots.sum().backward()
    assert memories.grad is not None
    assert memories.grad.sum((2, 3)).tolist() == [[0, 6, 6, 0]]


def test_half_precision_memories_give_the_gradient_of_full_precision_ones() -> None:
    chance = torch.Generator().manual_seed(1)
    memories = torch.randn(1, 5, 2, 64, generator=chance).bfloat16()
    direction = torch.randn(1, 2, 2, 64, generator=chance).bfloat16()
    found = []
    for values in (memories, memories.float()):
        scores = torch.linspace(0, 0.05, 5)[None].requires_grad_()
        (gather_selected(values, select(scores, 2)) * direction.to(values.dtype)).sum().backward()
        assert scores.grad is not None
        found.append(scores.grad)
    torch.testing.assert_close(found[0], found[1], rtol=1e-5, atol=1e-5)


def test_among_equals_the_first_wins() -> None:
    assert select(torch.tensor([[0.5, 0.7, 0.7, 0.5, 0.7]]), k=4).indices.tolist() == [[1, 2, 4, 0]]


def test_a_question_with_fewer_candidates_than_k_gets_empty_slots_and_no_nan() -> None:
    scores = torch.tensor([[0.3, 0.2, 0.0], [0.1, 0.9, 0.5]], requires_grad=True)
    valid = torch.tensor([[True, False, False], [True, True, True]])
    chosen = select(scores, k=3, valid=valid)
    assert chosen.valid.tolist() == [[True, False, False], [True, True, True]]
    assert chosen.weights[0].tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 0]]
    slots = gather_selected(torch.randn(2, 3, 1, 2), chosen)
    assert slots[0, 1:].eq(0).all()
    slots.pow(2).sum().backward()
    assert scores.grad is not None
    assert scores.grad.isfinite().all()
    assert scores.grad[0].eq(0).all()
    assert scores.grad[1].ne(0).any()


def test_more_slots_than_candidates_give_one_a_candidate() -> None:
    assert select(torch.tensor([[0.1, 0.2]]), k=5).indices.tolist() == [[1, 0]]


def test_a_question_is_served_alike_alone_and_beside_a_larger_pool() -> None:
    alone = select(torch.tensor([[0.4, 0.6]]), k=2)
    scores = torch.tensor([[0.4, 0.6, 0.0, 0.0], [0.1, 0.2, 0.3, 0.4]])
    beside = select(scores, k=2, valid=torch.tensor([[True, True, False, False], [True] * 4]))
    assert torch.equal(beside.indices[:1], alone.indices)
    assert torch.equal(beside.weights[:1, :, :2], alone.weights)
    assert beside.weights[0, :, 2:].eq(0).all()


def test_the_soft_form_mixes_documents_by_their_weights() -> None:
    chosen = select(torch.tensor([[0.1, 0.5, 0.3]]), k=2, temperature=0.5)
    memories = torch.randn(1, 3, 2, 4)
    mixed = gather_selected(memories, chosen, form="soft")
    torch.testing.assert_close(mixed, torch.einsum("bjn,bnmd->bjmd", chosen.weights, memories))


def test_noise_moves_the_choice_and_is_that_of_its_seed() -> None:
    scores = torch.zeros(200, 4)
    noise = gumbel_noise(scores, torch.Generator().manual_seed(5))
    assert torch.equal(noise, gumbel_noise(scores, torch.Generator().manual_seed(5)))
    chosen = top_k(scores, valid=torch.ones_like(scores, dtype=torch.bool), k=1, temperature=0.1, noise=noise)
    assert torch.equal(chosen.indices[:, 0], noise.argmax(-1))
    assert chosen.indices.unique().tolist() == [0, 1, 2, 3]
    assert noise.mean() == pytest.approx(0.5772, abs=0.1)  # Euler's constant


def test_scores_are_cosines_of_flattened_memories_and_zero_where_absent() -> None:
    question = torch.tensor([[[3.0, 0.0], [0.0, 4.0]]])
    candidates = torch.tensor([[[[3.0, 0.0], [0.0, 4.0]], [[0.0, 1.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]]])
    assert cosine_scores(question, candidates).tolist() == [[1.0, 0.0, 0.0]]
    valid = torch.tensor([[False, True, True]])
    assert cosine_scores(question, candidates, valid).tolist() == [[0.0, 0.0, 0.0]]


def test_scores_keep_their_precision_under_autocast() -> None:
    chance = torch.Generator().manual_seed(2)
    question, candidates = torch.randn(1, 2, 64, generator=chance), torch.randn(1, 9, 2, 64, generator=chance)
    plain = cosine_scores(question, candidates)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(cosine_scores(question, candidates), plain)
