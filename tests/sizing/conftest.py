import pytest

from clara import config as configuration
from clara import machine
from clara.sizing.jobs import Sizes
from clara.sizing.steps import Site
from tests.sizing.estimates import DEMO, GPU


@pytest.fixture(scope="session")
def shared() -> Sizes:
    """Of the run on an H200 that fourteen jobs shared."""
    return Sizes({"base": configuration.merge(DEMO, GPU)}, Site(node_gpus=1))


@pytest.fixture(autouse=True)
def bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """Estimates are held against what was measured on processors with instructions for bfloat16."""
    monkeypatch.setattr(machine, "arithmetic", lambda dtype: dtype)
