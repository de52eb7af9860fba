"""What answers the requests of synthesis: one small interface, and the choice of an implementation.

An engine takes requests as they come and gives replies as they finish, in any order, so that a document in a late round
never waits for one in an early round. A request that cannot be answered yields a reply with `error`, not an exception:
one bad passage must not end a run. Only a fault that every request would share (no server, no such model) raises.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from clara.errors import ConfigError

EngineName = Literal["auto", "vllm", "server", "openai", "transformers"]

API_KEY = "CLARA_API_KEY"
"""Environment variable with the key of an OpenAI-compatible service, so that no key stands in a configuration."""


class Message(NamedTuple):
    """One turn of a chat."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True)
class Sampling:
    """How a reply is drawn; temperature 0 takes the likeliest token."""

    temperature: float
    top_p: float
    max_tokens: int
    seed: int


@dataclass(frozen=True)
class Request:
    """A chat to go on with."""

    messages: tuple[Message, ...]
    sampling: Sampling
    beginning: str = ""
    """Words that the reply must start with; they stand in the reply's text."""
    schema: str | None = None
    """JSON schema, as JSON text, that the reply must meet; engines that cannot force it may return other text."""
    choices: tuple[str, ...] = ()
    """The only replies allowed, if any are given."""
    shared: int = 0
    """Characters of the last message that other requests begin with too, after the same messages before; they are a
    hint of what to keep, and the reply does not depend on them."""

    def key(self, model: str) -> str:
        """The name under which the reply is kept: a hash of everything that it depends on."""
        depends = {name: value for name, value in asdict(self).items() if name != "shared"}
        content = json.dumps([model, depends], ensure_ascii=False, sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Reply:
    """What came back for a request."""

    text: str
    """The whole reply, the request's `beginning` included."""
    finish_reason: str
    """`stop`: the model ended its turn. `length`: the token limit cut it. `error`: see `error`."""
    prompt_tokens: int
    reply_tokens: int
    error: str | None = None
    """Why there is no reply; null when there is one."""


class TextEngine(Protocol):
    """Something that answers requests."""

    name: str
    """Kind of engine, for the report."""
    model: str
    """Identity of model and precision; part of every cache key."""
    capacity: int
    """Requests worth having under way at once."""

    def submit(self, key: str, request: Request) -> None:
        """Takes a request; its reply comes from a later `collect` under `key`."""

    def collect(self) -> list[tuple[str, Reply]]:
        """Keys and replies finished since the last call; waits until there is at least one, if any is under way."""

    def close(self) -> None:
        """Gives back memory, threads and connections."""


class Deferred:
    """An engine that is started by its first request: a run whose replies are all cached starts none."""

    def __init__(self, start: Callable[[], TextEngine], *, name: str, model: str) -> None:
        self.name, self.model = name, model
        self.capacity = 64
        self.seconds = 0.0
        """That the start took."""
        self._start = start
        self._engine: TextEngine | None = None

    def submit(self, key: str, request: Request) -> None:
        """Starts the engine if need be and hands the request on."""
        if self._engine is None:
            began = time.monotonic()
            self._engine = self._start()
            self.seconds = time.monotonic() - began
            self.name, self.capacity = self._engine.name, self._engine.capacity
        self._engine.submit(key, request)

    def collect(self) -> list[tuple[str, Reply]]:
        """What the engine has finished."""
        return self._engine.collect() if self._engine is not None else []

    def close(self) -> None:
        """Closes the engine if it was started."""
        if self._engine is not None:
            self._engine.close()


def failure(reason: str) -> Reply:
    """The reply to a request that could not be answered."""
    return Reply(text="", finish_reason="error", prompt_tokens=0, reply_tokens=0, error=reason)


def overflow(prompt: int, reply: int, context: int) -> str:
    """Why a request with so many tokens does not fit a model's context."""
    return f"prompt of {prompt} tokens and reply of {reply} exceed the context of {context}"


def choose(
    engine: EngineName,
    folder: Path | None,
    *,
    dtype: str,
    identity: str,
    base_url: str | None,
    tensor_parallel: int = 1,
    cpu_threads: int | None = None,
    log: Path | None = None,
) -> TextEngine:
    """A started engine.

    Args:
        engine: which one; `auto` takes vLLM where it can run this model, else transformers.
        folder: the model's folder; for engine openai only the name of the model at the server is used.
        dtype: precision of weights and arithmetic.
        identity: the model's identity, part of the cache keys.
        base_url: address of the server, for engine openai.
        tensor_parallel: GPUs over which vLLM splits the model.
        cpu_threads: threads of the transformers engine on a CPU; null leaves them as they are.
        log: file for what a server says that is started here.

    Raises:
        ConfigError: the engine lacks a setting or cannot run here.
    """
    if engine == "openai":
        from clara.synthesis.engine_openai import OpenAIEngine

        if base_url is None:
            raise ConfigError(
                "synthesis.engine = openai needs synthesis.base_url, such as http://localhost:8000/v1; set it"
            )
        return OpenAIEngine(base_url, str(folder), identity=identity, api_key=os.environ.get(API_KEY))
    assert folder is not None
    if engine in ("auto", "vllm", "server"):
        from clara.model import vllm_door
        from clara.synthesis.engine_vllm import VllmEngine

        reason = vllm_door.obstacle(folder)
        if reason is None and engine == "server":
            from clara.synthesis.server import ServedEngine

            assert log is not None
            return ServedEngine(folder, dtype=dtype, identity=identity, tensor_parallel=tensor_parallel, log=log)
        if reason is None:
            return VllmEngine(folder, dtype=dtype, identity=identity, tensor_parallel=tensor_parallel)
        if engine != "auto":
            raise ConfigError(
                f"synthesis.engine = {engine} cannot run here: {reason}; install a fitting vLLM or take transformers"
            )
    from clara.model import threads
    from clara.synthesis.engine_transformers import TransformersEngine

    threads.use(cpu_threads)
    return TransformersEngine(folder, dtype=dtype, identity=identity)
