"""Losses: sums and counts, so that a step can divide by all of its tokens."""

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor


def token_losses(logits: Float[Tensor, "tokens vocab"], targets: Int[Tensor, " tokens"]) -> Float[Tensor, " tokens"]:
    """-log p of each target token, in nats, float32."""
    return torch.nn.functional.cross_entropy(logits.float(), targets, reduction="none")


def alignment_losses(
    document_mean: Float[Tensor, "batch dim"],
    memory_mean: Float[Tensor, "batch dim"],
    *,
    reduction: Literal["mean", "sum"] = "mean",
) -> Float[Tensor, " batch"]:
    """Squared difference of a document's mean state and its memory's mean state (eq. 2.1), float32.

    Both sides receive gradient.

    Args:
        document_mean: over the document's tokens.
        memory_mean: over the memory tokens.
        reduction: `mean` divides by the width, as the released code does; `sum` is the paper's formula, read literally.
    """
    squares = (document_mean.float() - memory_mean.float()).pow(2)
    return squares.mean(dim=-1) if reduction == "mean" else squares.sum(dim=-1)
