"""Losses: sums and counts, so that a step can divide by all of its tokens."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def token_losses(logits: Float[Tensor, "tokens vocab"], targets: Int[Tensor, " tokens"]) -> Float[Tensor, " tokens"]:
    """-log p of each target token, in nats, float32."""
    return torch.nn.functional.cross_entropy(logits.float(), targets, reduction="none")


def alignment_losses(
    document_mean: Float[Tensor, "batch dim"], memory_mean: Float[Tensor, "batch dim"]
) -> Float[Tensor, " batch"]:
    """Mean squared difference of a document's mean state and its memory's mean state (eq. 2.1), float32.

    Divided by the width, as the released code does; the paper's formula, read literally, is the sum. Both sides
    receive gradient.
    """
    return (document_mean.float() - memory_mean.float()).pow(2).mean(dim=-1)
