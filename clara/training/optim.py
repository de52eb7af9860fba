"""Optimizer, learning-rate schedule, and the order of the examples: functions of the step alone."""

import math
import random
from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import nn

Item = TypeVar("Item")

BETAS = (0.9, 0.95)
"""AdamW's, as in the released scripts."""


def build(parameters: Sequence[nn.Parameter], *, learning_rate: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW over `parameters`."""
    return torch.optim.AdamW(parameters, lr=learning_rate, betas=BETAS, weight_decay=weight_decay)


def learning_rate(step: int, *, steps: int, peak: float, schedule: str, min_ratio: float, warmup_ratio: float) -> float:
    """The learning rate of optimizer step `step`, counted from 1.

    Args:
        step: the step about to be made.
        steps: all steps.
        peak: highest rate.
        schedule: `cosine` or `constant`.
        min_ratio: last rate of the cosine as a share of the peak.
        warmup_ratio: share of the steps over which the rate rises linearly.
    """
    warmup = math.ceil(warmup_ratio * steps)
    if step <= warmup:
        return peak * step / warmup
    if schedule == "constant":
        return peak
    done = (step - warmup) / max(steps - warmup, 1)
    return peak * (min_ratio + (1 - min_ratio) * 0.5 * (1 + math.cos(math.pi * done)))


def step_examples(examples: Sequence[Item], step: int, *, batch_size: int, seed: int) -> list[Item]:
    """The examples of optimizer step `step`, counted from 1: epochs on end, each in its own order, none left out."""
    first = (step - 1) * batch_size
    chosen = []
    for position in range(first, first + batch_size):
        epoch, index = divmod(position, len(examples))
        chosen.append(examples[_order(len(examples), epoch, seed)[index]])
    return chosen


def _order(count: int, epoch: int, seed: int) -> list[int]:
    order = list(range(count))
    random.Random(f"{seed}-epoch-{epoch}").shuffle(order)
    return order
