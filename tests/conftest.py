"""Tiny backbones: each family is built once a session; tests get fresh copies."""

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from clara.model.backbone import LoadedBackbone
    from clara.model.clara import ClaraModel

# torch is imported by the fixtures that need it, so that light tests stay light.


@pytest.fixture(scope="session")
def backbones(tmp_path_factory: pytest.TempPathFactory) -> "Callable[[str], LoadedBackbone]":
    """Gives the session's backbone of a family; never change it, copy it with `tiny.fresh`."""
    from clara.model import backbone
    from tests import tiny

    @lru_cache
    def load(family: str) -> "LoadedBackbone":
        return backbone.load(tiny.prepare(family, tmp_path_factory.mktemp(f"backbone-{family}")), dtype="float32")

    return load


@pytest.fixture
def make_model(backbones: "Callable[[str], LoadedBackbone]") -> "Callable[..., ClaraModel]":
    """Makes a model of its own for the test: `make_model("llama", form="plain", dropout=0.1, …)`."""
    from tests import tiny

    def make(family: str = "llama", **changes: Any) -> "ClaraModel":
        return tiny.model(backbones(family), **changes)

    return make


@pytest.fixture
def model(make_model: "Callable[..., ClaraModel]") -> "ClaraModel":
    """A llama with pooled memories and no dropout."""
    return make_model()
