"""Attention: for writing answers on a CPU, and without a question to the device on every pass.

What is fast for training is not what is fast for reading and writing on a CPU.
Measured on one core with SmolLM2-135M in bfloat16, 16 prompts of 500 tokens and 24 tokens of answer: eager 35 s,
sdpa 33 s, this 18 s (docs/experiments.md).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention, softmax
from transformers import AttentionInterface, AttentionMaskInterface, masking_utils
from transformers.masking_utils import sdpa_mask

NAME = "clara_cpu_answers"

_packed_texts = masking_utils.find_packed_sequence_indices
_rows_of_one_text = 0
_lock = Lock()


def _packed(position_ids: Any) -> Any:
    return None if _rows_of_one_text else _packed_texts(position_ids)


masking_utils.find_packed_sequence_indices = _packed


@contextmanager
def one_text_a_row() -> Iterator[None]:
    """Runs the block knowing that no row of a batch holds several texts.

    Transformers looks for such rows on every pass without a mask, and on a GPU waits for all that is under way to see.
    """
    global _rows_of_one_text
    with _lock:
        _rows_of_one_text += 1
    try:
        yield
    finally:
        with _lock:
            _rows_of_one_text -= 1


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
