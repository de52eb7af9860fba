"""A server on a port of its own, with a tiny random model."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import openai
import pytest
import uvicorn

from clara.model.checkpoint import LoadedCheckpoint
from clara.model.clara import ClaraModel
from clara.model.store import MemoryStore
from clara.server.app import LOCAL_HOSTS, create_app
from clara.server.explore import Served
from clara.server.limits import Limits
from clara.serving import Clara, load
from tests import tiny


class World(NamedTuple):
    """A joint checkpoint and a store of `tiny.TEXTS`."""

    model: Clara
    store: MemoryStore


@pytest.fixture
def world(make_model: Callable[..., ClaraModel], tmp_path: Path) -> World:
    model = make_model(document_max_tokens=128)
    model.add_query_reasoner("compressor")
    tiny.stir(model, seed=4)
    tiny.save(model, tmp_path / "joint", stage="joint")
    loaded = load(tmp_path / "joint")
    manifest = tiny.store(LoadedCheckpoint(loaded.model, loaded.card, loaded.compressor_hash), tmp_path)
    return World(loaded, MemoryStore(manifest))


@contextmanager
def serving(world: World, *, key: str | None = None, writer: Any = None, **limits: Any) -> Iterator[str]:
    """The address of a server that runs as long as the block."""
    served = Served("tiny", world.model, world.store, 2)
    others = [served._replace(name="other")]
    app = create_app(served, Limits(**limits), others=others, key=key, hosts=LOCAL_HOSTS, writer=writer)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def client(address: str, key: str = "none", **options: Any) -> openai.OpenAI:
    """OpenAI's client, which does not try again by itself."""
    made = openai.OpenAI(base_url=f"{address}/v1", api_key=key, **{"max_retries": 0, "timeout": 60, **options})
    OPENED.append(made)
    return made


OPENED: list[openai.OpenAI] = []


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """Closes every client of the test."""
    yield
    while OPENED:
        OPENED.pop().close()


class Gate:
    """Holds the model at the start of its work until it is opened."""

    def __init__(self, model: Clara, monkeypatch: pytest.MonkeyPatch) -> None:
        self.entered, self._open, find = threading.Event(), threading.Event(), model.find

        def held(*args: Any, **kwargs: Any) -> Any:
            self.entered.set()
            assert self._open.wait(60)
            return find(*args, **kwargs)

        monkeypatch.setattr(model, "find", held)

    def open(self) -> None:
        self._open.set()
