"""What a client waits for, handed between the event loop and the thread that runs the model."""

import asyncio
import threading
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from clara.errors import ResourceError
from clara.model.answers import Selected


class Left(ResourceError):
    """The client has gone."""


class Piece(NamedTuple):
    """What was added to an answer."""

    text: str


class Written(NamedTuple):
    """The end of an answer."""

    selection: Selected
    tokens: int
    cut: bool
    """Whether the limit of tokens ended it."""
    generation_seconds: float


@dataclass
class Job:
    """One request's work; made in the event loop that reads its events."""

    kind: Literal["answer", "search", "compress", "explore"]
    texts: list[str]
    """The question, or the texts to compress."""
    k: int = 1
    max_new_tokens: int = 1
    candidates: list[str] | None = None
    """Documents of the client's own retriever; None searches the store."""
    gone: threading.Event = field(default_factory=threading.Event)
    """Nobody waits any more."""
    started: bool = False
    """Whether the client was given something, so that the work cannot be begun anew."""
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    _events: "asyncio.Queue[Any]" = field(default_factory=asyncio.Queue)

    def give(self, event: Any) -> None:
        """Hands an event to the client; called by the model's thread."""
        self.started = True
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self._events.put_nowait, event)

    def leave(self) -> None:
        """Ends the work of a client that has gone; called in the event loop."""
        self.gone.set()
        self._events.put_nowait(Left("the client left before its answer"))

    async def events(self) -> AsyncGenerator[Any, None]:
        """What was given, up to and with the last event; an error is raised."""
        try:
            while True:
                event = await self._events.get()
                if isinstance(event, BaseException):
                    raise event
                yield event
                if not isinstance(event, Piece):
                    return
        finally:
            self.gone.set()
