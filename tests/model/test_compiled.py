"""The compiled body gives what the plain one gives; `aot_eager` traces like the real compiler and needs no C++."""

from collections.abc import Callable

import pytest
import torch

from clara.model import backbone
from clara.model.adapters import COMPRESSOR
from clara.model.backbone import LoadedBackbone
from clara.model.clara import ClaraModel
from tests import tiny


def step(model: ClaraModel) -> tuple[torch.Tensor, list[torch.Tensor | None]]:
    """Memories of two batches of unequal size, and the gradients of their sum."""
    parameters = model.set_learning([COMPRESSOR])
    inputs = [model.tokens.to_compress(text) for text in tiny.TEXTS]
    found = torch.cat([model.encode(COMPRESSOR, part).vectors for part in (inputs[:2], inputs[2:5])])
    return found.detach(), list(torch.autograd.grad(found.pow(3).sum(), parameters, allow_unused=True))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # tracing looks at everything, also at what warns when it is looked at
def test_a_compiled_body_gives_the_same_memories_and_gradients(
    backbones: Callable[[str], LoadedBackbone], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backbone, "COMPILER", "aot_eager")
    torch.compiler.reset()
    found = []
    for compiled in (False, True):
        model = tiny.model(backbones("llama"))
        model.backbone.compiled = compiled
        found.append(step(model))
    torch.testing.assert_close(found[1][0], found[0][0], atol=1e-5, rtol=1e-5)
    for one, other in zip(found[0][1], found[1][1], strict=True):
        torch.testing.assert_close(other, one, atol=1e-4, rtol=1e-4)


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
