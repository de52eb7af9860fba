"""The compiled body gives what the plain one gives; `aot_eager` traces like the real compiler and needs no C++."""

from collections.abc import Callable

import pytest
import torch

from clara.model import backbone
from clara.model.adapters import COMPRESSOR, GENERATOR
from clara.model.backbone import LoadedBackbone
from clara.model.clara import ClaraModel
from clara.training.objectives import CompressionObjective, Totals
from tests import tiny


def step(model: ClaraModel) -> tuple[torch.Tensor, list[torch.Tensor | None]]:
    """The loss of two batches of unequal size together, and its gradients."""
    parameters = model.set_learning([COMPRESSOR, GENERATOR])
    objective = CompressionObjective(model, mse_weight=0.1)
    examples = tiny.pair_examples(model)
    totals = Totals.of(examples[:5])
    parts = [objective(part, totals, progress=0.0, seed=0).loss for part in (examples[:2], examples[2:5])]
    loss = torch.stack(parts).sum()
    return loss.detach(), list(torch.autograd.grad(loss, parameters, allow_unused=True))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # tracing looks at everything, also at what warns when it is looked at
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_a_compiled_body_gives_the_same_losses_and_gradients(
    attention: str, backbones: Callable[[str], LoadedBackbone], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backbone, "COMPILER", "aot_eager")
    torch.compiler.reset()
    found = []
    for compiled in (False, True):
        model = tiny.model(backbones("llama"))
        model.backbone.model.set_attn_implementation(attention)
        model.backbone.compiled = compiled
        found.append(step(model))
    torch.testing.assert_close(found[1][0], found[0][0], atol=1e-5, rtol=1e-5)
    for one, other in zip(found[0][1], found[1][1], strict=True):
        torch.testing.assert_close(other, one, atol=1e-5, rtol=1e-4)


def test_compiling_is_a_matter_of_the_setting(
    backbones: Callable[[str], LoadedBackbone], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(torch, "compile", lambda body, **options: asked.append(options) or body)
    card = backbones("llama").card
    vectors = torch.zeros(1, 3, 64)
    for compiled in (False, True):
        backbone.load(card, dtype="float32", compiled=compiled).states(vectors)
    assert asked == [{"dynamic": True, "backend": "inductor"}]
