"""Products by their singular vectors: rounded, they are off by what was asked for, and the small ones vanish first."""

import pytest
import torch

from clara.model.factors import Product, inner, off, product, step_for

CHANCE = torch.Generator().manual_seed(1)
B, A = (
    torch.randn(40, 4, generator=CHANCE),
    torch.randn(4, 30, generator=CHANCE) * torch.tensor([[9.0], [3.0], [1.0], [0.1]]),
)


def test_a_product_is_that_of_its_parts_with_singular_vectors_of_one_size_on_both_sides() -> None:
    found = product(B, A)
    b, a = found.parts()
    assert torch.allclose(b @ a, B @ A, atol=1e-4)
    assert torch.allclose(b.norm(dim=0), a.norm(dim=1), rtol=1e-4)
    assert torch.allclose(found.sizes, torch.linalg.svdvals(B @ A)[:4], rtol=0.005)


def test_the_first_vectors_are_the_nearest_product_of_that_rank() -> None:
    sizes = torch.linalg.svdvals(B @ A)
    lost = off(product(B, A).first(2).parts(), (B, A))
    assert lost == pytest.approx(float(sizes[2:4].square().sum()), rel=1e-3)


def test_sums_over_matrices_come_from_their_parts() -> None:
    other = torch.randn(40, 3, generator=CHANCE), torch.randn(3, 30, generator=CHANCE)
    assert inner((B, A), other) == pytest.approx(float(((B @ A) * (other[0] @ other[1])).sum()), rel=1e-4)
    assert off((B, A), other) == pytest.approx(float((B @ A - other[0] @ other[1]).square().sum()), rel=1e-4)
    assert off((B, A), (2 * B, A / 2)) == pytest.approx(0, abs=1e-2)


@pytest.mark.parametrize("error", [0.25, 0.03])
def test_the_step_makes_the_error_that_was_asked_for(error: float) -> None:
    layers = [product(B, A), product(B / 5, A)]
    step = step_for(layers, error)
    found = sum(off(each.parts(), each.rounded(step).restored(step).parts()) for each in layers)
    size = sum(inner(each.parts(), each.parts()) for each in layers)
    assert 0.9 * error < (found / size) ** 0.5 <= error
    # Of one step for all, the smaller layer's and the smaller vectors' numbers are the first to become nothing.
    zeros = [[float((side == 0).float().mean()) for side in each.rounded(step).left.T] for each in layers]
    assert zeros[0][3] > zeros[0][0]
    assert sum(zeros[1]) > sum(zeros[0])


def test_nothing_stays_nothing() -> None:
    empty = product(torch.zeros(5, 2), torch.randn(2, 7, generator=CHANCE))
    step = step_for([empty], 0.1)
    assert all((side == 0).all() for side in empty.rounded(step).restored(step).parts())
    assert isinstance(empty.rounded(step), Product)
