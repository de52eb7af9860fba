"""Losses: sums and counts, so that a step can divide by all of its tokens."""

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
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


def marginal_losses(
    log_prior: Float[Tensor, "batch k"], log_likelihood: Float[Tensor, "batch k"]
) -> Float[Tensor, " batch"]:
    """-log Σ_j p_j p(answer | document j) of each question, in nats (paper, appendix A: p(y|x) by documents).

    With posterior q_j ∝ p_j p(answer | document j), the gradient is dL/d log p_j = -q_j and, where p is a softmax of
    s / τ, dL/ds_j = (p_j - q_j) / τ: a document gains by what it does for the answer.

    Args:
        log_prior: log p of each document, -inf for none.
        log_likelihood: log p of the whole answer given that document alone; finite everywhere.
    """
    return -torch.logsumexp(log_prior + log_likelihood, dim=-1)


def ranking_losses(
    logits: Float[Tensor, "batch candidates"],
    *,
    positive: Bool[Tensor, "batch candidates"],
    valid: Bool[Tensor, "batch candidates"],
) -> Float[Tensor, " batch"]:
    """Multi-positive InfoNCE of each question, in nats: the mean over its positives of log(1 + Σ_n e^(s_n - s_p)).

    Each positive competes with the negatives, not with the other positives: two supporting documents are to stand
    above the rest, in whatever order. A question without positives has loss 0.

    Args:
        logits: scores / τ.
        positive: documents that support the answer.
        valid: false on padding.
    """
    negatives = logits.masked_fill(~valid | positive, -torch.inf).logsumexp(-1, keepdim=True)
    each = torch.where(positive, torch.logaddexp(logits, negatives) - logits, 0.0)
    return each.sum(-1) / positive.sum(-1).clamp(min=1)
