import signal
from collections.abc import Iterator

import pytest

from tests.scripts.world import World


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The chain of the stages, run once; its tests leave it as it was."""
    made = World(tmp_path_factory.mktemp("chain"))
    for step in (made.prepare, made.pretrain, made.tune, made.compress, made.join):
        step()
    return made


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    """A program's handler of SIGTERM ends with the test."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)
