import pytest
import torch
from torch import nn

from clara.training import optim


def rate(step: int, schedule: str = "cosine", *, warmup_ratio: float = 0.2) -> float:
    return optim.learning_rate(step, steps=10, peak=2.0, schedule=schedule, min_ratio=0.1, warmup_ratio=warmup_ratio)


def test_the_rate_rises_linearly_then_falls_by_a_cosine_to_its_least() -> None:
    assert [rate(step) for step in (1, 2)] == [1.0, 2.0]
    assert rate(6) == pytest.approx(2.0 * (0.1 + 0.9 * 0.5))  # halfway between 2 and 10
    assert rate(10) == pytest.approx(0.2)
    assert [rate(step, "constant") for step in (1, 2, 3, 10)] == [1.0, 2.0, 2.0, 2.0]


def test_without_warm_up_the_first_step_is_a_full_one() -> None:
    assert rate(1, "constant", warmup_ratio=0.0) == 2.0


def test_weight_decay_and_rate_reach_the_optimizer() -> None:
    parameter = nn.Parameter(torch.ones(1))
    optimizer = optim.build([parameter], learning_rate=0.1, weight_decay=0.5)
    parameter.grad = torch.zeros(1)
    optimizer.step()
    assert parameter.item() == pytest.approx(1 - 0.1 * 0.5)
