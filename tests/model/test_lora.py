from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from peft import LoraConfig, inject_adapter_in_model
from torch import Tensor, nn

from clara.model.lora import LoraLinear


def layer(*, bias: bool = True, dropout: float = 0.0) -> LoraLinear:
    """A float64 layer [3 → 4] with the adapter `one` of rank 2 and scale 1.5, whose B is not zero."""
    torch.manual_seed(0)
    host = nn.Sequential(nn.Linear(3, 4, bias=bias, dtype=torch.float64))
    config = LoraConfig(r=2, lora_alpha=3, lora_dropout=dropout, target_modules=["0"])
    config._register_custom_module({nn.Linear: LoraLinear})
    inject_adapter_in_model(config, host, "one")
    made = host[0]
    assert isinstance(made, LoraLinear)
    made.double()
    nn.init.normal_(made.lora_B["one"].weight)
    made.get_base_layer().requires_grad_(False)
    return made


def by_definition(made: LoraLinear, x: Tensor) -> Tensor:
    base = made.get_base_layer()
    down, up = made.lora_A["one"].weight, made.lora_B["one"].weight
    mapped: Tensor = x @ (base.weight + 1.5 * up @ down).t()
    return mapped if base.bias is None else mapped + base.bias


@contextmanager
def other_adapter(made: LoraLinear) -> Iterator[None]:
    made._active_adapter = ["none of these"]
    yield
    made._active_adapter = ["one"]


@pytest.mark.parametrize("bias", [True, False])
def test_it_is_the_linear_map_and_its_update(bias: bool) -> None:
    made, x = layer(bias=bias), torch.randn(2, 5, 3, dtype=torch.float64)
    torch.testing.assert_close(made(x), by_definition(made, x))
    with other_adapter(made):
        torch.testing.assert_close(made(x), made.get_base_layer()(x))


def test_its_gradients_are_those_of_the_definition() -> None:
    made, x = layer(), torch.randn(2, 5, 3, dtype=torch.float64, requires_grad=True)
    wanted = [x, made.lora_A["one"].weight, made.lora_B["one"].weight]
    weights = torch.randn(2, 5, 4, dtype=torch.float64)
    found = torch.autograd.grad((made(x) * weights).sum(), wanted)
    expected = torch.autograd.grad((by_definition(made, x) * weights).sum(), wanted)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_a_frozen_adapter_passes_the_gradient_on_and_gets_none() -> None:
    made, x = layer(), torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    made.requires_grad_(False)
    made(x).sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, torch.autograd.grad(by_definition(made, x).sum(), x)[0])
    assert made.lora_A["one"].weight.grad is None


def test_nothing_is_learned_by_an_input_that_does_not_learn() -> None:
    made, x = layer(), torch.randn(5, 3, dtype=torch.float64)
    made(x).sum().backward()
    assert made.lora_A["one"].weight.grad is not None
    assert made.get_base_layer().weight.grad is None


def test_dropout_reaches_the_update_alone_and_only_in_training() -> None:
    made, x = layer(dropout=0.5), torch.randn(400, 3, dtype=torch.float64)
    update = by_definition(made, x) - made.get_base_layer()(x)
    made.eval()
    torch.testing.assert_close(made(x), by_definition(made, x))
    made.train()
    dropped = made(x) - made.get_base_layer()(x)
    assert not torch.allclose(dropped, update)
    # What is left is scaled up: right in the mean. Of 400 rows the mean strays by a twentieth of the spread.
    assert ((dropped - update).mean(0).abs() < 4 * (dropped - update).std(0) / 20).all()


def test_autocast_decides_the_precision_and_gradients_come_in_the_parameters() -> None:
    made, x = layer().float(), torch.randn(2, 5, 3, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = made(x)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), by_definition(made, x), rtol=0.03, atol=0.03)
    found.float().sum().backward()
    assert made.lora_A["one"].weight.grad is not None
    assert made.lora_A["one"].weight.grad.dtype == torch.float32
