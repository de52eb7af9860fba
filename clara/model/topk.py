"""Differentiable top-k (paper, section 3.2, Algorithm 1): hard documents forward, soft weights backward."""

import math
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


class Selection(NamedTuple):
    """What was selected for each question."""

    indices: Int[Tensor, "batch k"]
    """Candidates, best first; 0 where there was none left."""
    valid: Bool[Tensor, "batch k"]
    """False where the question had fewer candidates than k."""
    weights: Float[Tensor, "batch k candidates"]
    """Soft rows: slot j is a distribution over the candidates that slots 0 … j-1 did not take."""


def top_k(
    scores: Float[Tensor, "batch candidates"],
    *,
    valid: Bool[Tensor, "batch candidates"],
    k: int,
    temperature: float,
    noise: Float[Tensor, "batch candidates"] | None = None,
    mask_epsilon: float = 0.0,
) -> Selection:
    """The k best candidates and the soft rows whose gradient stands in for the hard choice.

    Row j is softmax((s + log mask_j) / τ) with mask_j zero on taken and absent candidates (eq. 3.3): a true mask, at
    any τ. Among equal scores the first candidate wins.

    Args:
        scores: of question and candidate, by the model's form: cosine or late interaction.
        valid: false on padding.
        k: slots, at most one a column of `scores`; more than a question has candidates gives it invalid slots.
        temperature: τ, in units of the scores.
        noise: Gumbel noise in units of the softmax's logits, added to choice and rows alike; None for none.
        mask_epsilon: what is left of a taken candidate's mask, whose logarithm is added after the division by τ
            (Algorithm 1); 0 leaves nothing (eq. 3.3).
    """
    logits = _at_least_float32(scores) / temperature
    if noise is not None:
        logits = logits + noise
    logits = logits.masked_fill(~valid, -torch.inf)
    k = min(k, scores.shape[-1])
    order = torch.sort(logits.detach(), dim=-1, descending=True, stable=True).indices[:, :k]
    slot_valid = valid.gather(-1, order)
    picked = torch.zeros(*order.shape, scores.shape[-1], dtype=torch.bool, device=scores.device)
    picked.scatter_(-1, order[..., None], True)
    taken_before = picked.cumsum(dim=1) - picked.long() > 0
    taken_penalty = math.log(mask_epsilon) if mask_epsilon > 0 else -math.inf
    rows = torch.where(taken_before, logits[:, None, :] + taken_penalty, logits[:, None, :])
    rows = torch.where(slot_valid[..., None], rows, torch.zeros_like(rows))  # an empty row would be NaN
    weights = torch.softmax(rows, dim=-1) * slot_valid[..., None]
    return Selection(torch.where(slot_valid, order, 0), slot_valid, weights)


def gather_selected(
    memories: Float[Tensor, "batch candidates *shape"],
    selection: Selection,
    *,
    form: Literal["straight_through", "soft"] = "straight_through",
) -> Float[Tensor, "batch k *shape"]:
    """The selected memories, zero in invalid slots.

    Forward by gather (`soft`: by mixture). Backward, with G the gradient of the output, scores receive
    dL/ds_i = (1/τ) Σ_j p_ji (G_j·M_i - Σ_l p_jl G_j·M_l) through the soft rows (paper, appendix A, path II).
    """
    flat = memories.flatten(2)
    if form == "soft":
        mixed: Tensor = selection.weights.to(flat.dtype) @ flat
    else:
        mixed = _StraightThrough.apply(  # type: ignore[no-untyped-call]  # torch leaves it untyped
            selection.weights, flat, selection.indices, selection.valid
        )
    return mixed.reshape(*mixed.shape[:2], *memories.shape[2:])


class _StraightThrough(torch.autograd.Function):
    """Z M with Z hard in the forward pass and Z_soft in the derivative with respect to the scores."""

    @staticmethod
    def forward(ctx: Any, weights: Tensor, flat: Tensor, indices: Tensor, valid: Tensor) -> Tensor:
        ctx.save_for_backward(flat, indices, valid)
        ctx.weights_dtype = weights.dtype
        rows = torch.arange(flat.shape[0], device=flat.device)[:, None]
        return flat[rows, indices] * valid[..., None]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor | None, None, None]:
        flat, indices, valid = ctx.saved_tensors
        gradient = gradients[0] * valid[..., None]
        # Differences of these products are divided by τ: in half precision they would be noise.
        to_weights = gradient.to(ctx.weights_dtype) @ flat.to(ctx.weights_dtype).transpose(1, 2)
        to_flat = None
        if ctx.needs_input_grad[1]:
            rows = torch.arange(flat.shape[0], device=flat.device)[:, None].expand_as(indices)
            to_flat = torch.zeros_like(flat).index_put((rows, indices), gradient.to(flat.dtype), accumulate=True)
        return to_weights, to_flat, None, None


def gumbel_noise(like: Float[Tensor, "*shape"], generator: torch.Generator) -> Float[Tensor, "*shape"]:
    """Standard Gumbel noise of the shape of `like`."""
    uniform = torch.rand(like.shape, generator=generator, device=generator.device).clamp(1e-10, 1 - 1e-7)
    return -torch.log(-torch.log(uniform)).to(like.device, non_blocking=True)


def _at_least_float32(values: Tensor) -> Tensor:
    return values if values.dtype == torch.float64 else values.float()
