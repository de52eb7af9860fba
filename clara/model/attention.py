"""Attention for writing answers on a CPU: what is fast for training is not what is fast for reading and writing.

Measured on one core with SmolLM2-135M in bfloat16, 16 prompts of 500 tokens and 24 tokens of answer: eager 35 s,
sdpa 33 s, this 18 s (docs/experiments.md).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention, softmax
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import sdpa_mask

NAME = "clara_cpu_answers"


def attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    **_: Any,
) -> tuple[Tensor, None]:
    """Grouped-query attention as transformers calls it: many positions by the fused kernel, one by two products.

    Args:
        module: the layer; unused.
        query: `[batch, heads, positions, dim]`.
        key, value: `[batch, groups, tokens, dim]`; heads are a multiple of groups.
        attention_mask: `[batch, 1, positions, tokens]`, true where a position may look; None: at all before it.
        scaling: of the products.

    Returns:
        `[batch, positions, heads, dim]`.
    """
    batch, heads, positions, dim = query.shape
    if positions > 1:
        causal = attention_mask is None
        mixed = scaled_dot_product_attention(
            query, key, value, attn_mask=attention_mask, scale=scaling, is_causal=causal, enable_gqa=True
        )
        return mixed.transpose(1, 2).contiguous(), None
    # The heads of a group are rows of one matrix: keys and values are read once, not repeated for each head.
    scores = (query.reshape(batch, key.shape[1], -1, dim) @ key.transpose(2, 3)) * scaling
    if attention_mask is not None:
        scores = scores.masked_fill(~attention_mask, torch.finfo(scores.dtype).min)
    weights = softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype)
    return (weights @ value).reshape(batch, 1, heads, dim), None


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, sdpa_mask)


@contextmanager
def for_answers(model: Any) -> Iterator[None]:
    """Runs the block with this attention where it applies: on a CPU, in models whose attention has no extras."""
    config = model.config.get_text_config()
    before = config._attn_implementation
    capped = getattr(config, "attn_logit_softcapping", None) is not None
    if model.device.type != "cpu" or capped or not model._supports_sdpa or before not in ("eager", "sdpa"):
        yield
        return
    model.set_attn_implementation(NAME)
    try:
        yield
    finally:
        model.set_attn_implementation(before)
