"""Losses and gradients that are not finite: found without waiting for the device, and named."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from clara.errors import DataError
from clara.training.examples import Example


def finite_numbers(outcome: dict[str, Tensor], step: int, examples: Sequence[Example]) -> dict[str, float]:
    """Python numbers; with `GradientWatch.check` the one place where a step waits for the device."""
    numbers = {name: float(value) for name, value in outcome.items()}
    if not math.isfinite(numbers["loss"]):
        raise DataError(
            f"step {step}: the loss is not finite; its examples are {_keys(examples)}; lower the learning rate"
        )
    return numbers


class GradientWatch:
    """Looks for a gradient that is not finite without waiting for the device: the first such step is kept there."""

    def __init__(self) -> None:
        self._unread: dict[int, Sequence[Example]] = {}
        self._first: Tensor | None = None

    def see(self, step: int, examples: Sequence[Example], norm: Tensor) -> None:
        """Notes a step's gradient norm."""
        self._unread[step] = examples
        found = torch.where(torch.isfinite(norm), math.inf, float(step))
        self._first = found if self._first is None else torch.minimum(self._first, found)

    def check(self) -> None:
        """Waits for the device; no state is saved without it.

        Raises:
            DataError: a step's gradient was not finite; names the first and its examples.
        """
        first = math.inf if self._first is None else float(self._first)
        if first < math.inf:
            raise DataError(
                f"step {first:.0f}: the gradient is not finite; its examples are {_keys(self._unread[int(first)])}; "
                "lower the learning rate"
            )
        self._unread.clear()


def _keys(examples: Sequence[Example]) -> str:
    return ", ".join(example.key for example in examples)
