"""A linear layer with LoRA adapters (Hu et al. 2021), y = W x + s B A x, in one pass over its output.

PEFT's own layer scales the update and adds it, each a pass over all of the output, forward and backward again. Here
the products add to what is there. Same values but for rounding: the update is not rounded before it is added.
"""

from typing import Any

import torch
from peft.tuners.lora import Linear
from torch import Tensor, nn
from torch.nn.functional import linear


class LoraLinear(Linear):
    """PEFT's layer, of which at most one adapter is active."""

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Maps `[*, in]` to `[*, out]`, in autocast's precision where that is on."""
        base: Any = self.get_base_layer()
        name = self._active_adapter[0]
        if name not in self.lora_A:
            plain: Tensor = base(x)
            return plain
        down: Tensor = self.lora_A[name].weight  # type: ignore[assignment]
        up: Tensor = self.lora_B[name].weight  # type: ignore[assignment]
        scale = self.scaling[name]
        kind = x.device.type
        cast = torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
        dtype = torch.get_autocast_dtype(kind) if cast else x.dtype
        rows = x.flatten(0, -2).to(dtype)
        weight, down, up = base.weight.to(dtype), down.to(dtype), up.to(dtype)
        bias = None if base.bias is None else base.bias.to(dtype)
        dropout: Any = self.lora_dropout[name]
        mapped: Tensor
        if dropout.training and isinstance(dropout, nn.Dropout):
            mapped = torch.addmm(linear(rows, weight, bias), linear(dropout(rows), down), up.t(), alpha=scale)
        else:
            mapped = _Mapped.apply(rows, weight, bias, down, up, scale)  # type: ignore[no-untyped-call]
        return mapped.view(*x.shape[:-1], -1)


class _Mapped(torch.autograd.Function):
    """rows Wᵀ + bias + s (rows Aᵀ) Bᵀ; W and bias are frozen."""

    @staticmethod
    def forward(
        ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor | None, down: Tensor, up: Tensor, scale: float
    ) -> Tensor:
        low = rows @ down.t()
        ctx.save_for_backward(rows, low, weight, down, up)
        ctx.scale = scale
        return linear(rows, weight, bias).addmm_(low, up.t(), alpha=scale)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        rows, low, weight, down, up = ctx.saved_tensors
        (gradient,) = gradients
        needed, found = ctx.needs_input_grad, [None] * 6
        low_gradient = (gradient @ up) * ctx.scale
        if needed[0]:
            found[0] = (gradient @ weight).addmm_(low_gradient, down)
        if needed[3]:
            found[3] = low_gradient.t() @ rows
        if needed[4]:
            found[4] = (gradient.t() @ low) * ctx.scale
        return tuple(found)
