"""A low-rank product by its singular vectors, rounded to whole steps so that only what matters keeps its bits.

With B A = U S Vᵀ, the numbers U S and V S are rounded to multiples of one step. Rounding then moves the product by the
same amount whichever vector a number belongs to, so vectors of small singular values round to zeros by themselves.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

HALVINGS = 14
"""Of the interval in which the step is looked for."""


class Product(NamedTuple):
    """A matrix B A, out x in, as two sides of `rank` columns each."""

    left: Tensor
    """U √S, out x rank."""
    right: Tensor
    """V √S, in x rank."""
    sizes: Tensor
    """S as bfloat16 holds it, largest first, rank."""

    def rounded(self, step: float) -> "Product":
        """Both sides as whole numbers: U S and V S in steps."""
        scale = self.sizes.sqrt() / step
        return self._replace(left=(self.left * scale).round(), right=(self.right * scale).round())

    def restored(self, step: float) -> "Product":
        """The sides back from whole numbers; the same on every machine, as each number is rounded by itself."""
        scale = torch.where(self.sizes > 0, step / self.sizes.sqrt(), 0.0)
        return self._replace(left=self.left * scale, right=self.right * scale)

    def first(self, count: int) -> "Product":
        """The product of the `count` largest singular vectors alone."""
        return Product(*(side[..., :count] for side in self))

    def parts(self) -> tuple[Tensor, Tensor]:
        """B and A."""
        return self.left, self.right.T


def product(b: Tensor, a: Tensor) -> Product:
    """`b @ a` by its singular vectors, by way of a matrix of rank x rank."""
    (left, upper), (right, lower) = torch.linalg.qr(b.double()), torch.linalg.qr(a.double().T)
    u, s, v = torch.linalg.svd(upper @ lower.T)
    root = s.sqrt()
    return Product((left @ u * root).float(), (right @ v.T * root).float(), s.bfloat16().float())


def inner(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> float:
    """Sum over all elements of two matrices `b @ a`, one times the other, from their parts alone."""
    (b, a), (d, c) = one, other
    return float(((b.double().T @ d.double()) * (a.double() @ c.double().T)).sum())


def step_for(layers: Iterable[Product], error: float) -> float:
    """The coarsest step at which all products together are off by no more than `error`, relative to their size."""
    layers = list(layers)
    size = sum(inner(each.parts(), each.parts()) for each in layers)
    if size == 0:
        return 1.0
    numbers = sum(each.left.numel() + each.right.numel() for each in layers)
    low, high = 0.0, 16 * math.sqrt(size / numbers)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _off(layers, middle) <= error**2 * size else (low, middle)
    return low or high


def _off(layers: Iterable[Product], step: float) -> float:
    return sum(off(each.parts(), each.rounded(step).restored(step).parts()) for each in layers)


def off(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> float:
    """Sum of squares of the difference of two matrices `b @ a`."""
    return max(0.0, inner(one, one) - 2 * inner(one, other) + inner(other, other))
