"""Attention: our own on a CPU, without a question to the device on every pass, and without a plan for each length.

Measured on one core with SmolLM2-135M in bfloat16 (docs/experiments.md): 16 prompts of 500 tokens and 24 tokens of
answer take 35 s with eager, 33 s with sdpa, 18 s with this; one layer's attention over 6 texts of 200 tokens, forward
and backward, takes 31 ms, 31 ms and 15 ms.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import local
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import dropout as drop
from torch.nn.functional import scaled_dot_product_attention, softmax
from transformers import AttentionInterface, AttentionMaskInterface, masking_utils
from transformers.masking_utils import sdpa_mask

NAME = "clara_cpu"

_packed_texts = masking_utils.find_packed_sequence_indices


class _Blocks(local):
    """How many `one_text_a_row` this thread is in; another thread's model may read packed texts meanwhile."""

    open = 0


_blocks = _Blocks()


def _packed(position_ids: Any) -> Any:
    return None if _blocks.open else _packed_texts(position_ids)


@contextmanager
def one_text_a_row() -> Iterator[None]:
    """Runs the block knowing that no row of a batch holds several texts.

    Transformers looks for such rows on every pass without a mask, and on a GPU waits for all that is under way to see.
    """
    _blocks.open += 1
    try:
        yield
    finally:
        _blocks.open -= 1


def attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    **_: Any,
) -> tuple[Tensor, None]:
    """Grouped-query attention as transformers calls it: read by the fused kernel; learned and written by two products.

    The fused kernel's backward pass takes ten times its forward pass.

    Args:
        module: the layer; unused.
        query: `[batch, heads, positions, dim]`.
        key, value: `[batch, groups, tokens, dim]`; heads are a multiple of groups.
        attention_mask: `[batch, 1, positions, tokens]`, true where a position may look; None: at all before it.
        scaling: of the products.
        dropout: share of the weights that is dropped.

    Returns:
        `[batch, positions, heads, dim]`.
    """
    batch, heads, positions, dim = query.shape
    learned = torch.is_grad_enabled() and (query.requires_grad or key.requires_grad or value.requires_grad)
    if positions > 1 and not learned:
        causal = attention_mask is None
        mixed = scaled_dot_product_attention(
            query, key, value, attn_mask=attention_mask, scale=scaling, is_causal=causal, enable_gqa=True
        )
        return mixed.transpose(1, 2).contiguous(), None
    groups, tokens = key.shape[1:3]
    # The heads of a group are rows of one matrix: keys and values are read once, not repeated for each head.
    products = (query * scaling).reshape(batch, groups, -1, dim) @ key.transpose(2, 3)
    scores = products.view(batch, heads, positions, tokens)
    if attention_mask is not None:
        scores = scores.masked_fill(~attention_mask, torch.finfo(scores.dtype).min)
    elif positions > 1:
        later = torch.ones(positions, tokens, dtype=torch.bool, device=scores.device).triu(1)
        scores = scores.masked_fill(later, torch.finfo(scores.dtype).min)
    weights = softmax(scores, dim=-1)  # in bfloat16 too it is worked out in float32
    if dropout:
        weights = drop(weights, dropout)
    mixed = weights.view(batch, groups, -1, tokens) @ value
    return mixed.view(batch, heads, positions, dim).transpose(1, 2).contiguous(), None


def settle(model: Any) -> None:
    """Gives a model this attention where it applies: on a CPU, where the model's attention has no extras.

    Transformers learns of it here, and not when this module is imported, which must change no other library.

    On a GPU, takes cuDNN's from those that torch chooses among, for the whole process. On a recent GPU torch (2.11)
    prefers it, and cuDNN makes a plan for every new shape: half a second forward and as much backward, as users report
    (modelscope/FunASR, issue 3704). Here almost every batch has a length of its own, and in writing every token.
    """
    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    masking_utils.find_packed_sequence_indices = _packed
    if model.device.type == "cuda":
        torch.backends.cuda.enable_cudnn_sdp(False)
    config = model.config.get_text_config()
    capped = getattr(config, "attn_logit_softcapping", None) is not None
    if model.device.type == "cpu" and not capped and model._supports_sdpa:
        if config._attn_implementation in ("eager", "sdpa"):
            model.set_attn_implementation(NAME)
