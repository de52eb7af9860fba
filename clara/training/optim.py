"""Optimizer and learning-rate schedule, a function of the step alone."""

import math
from collections.abc import Sequence

import torch
from torch import nn

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
