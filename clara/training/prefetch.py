"""What the next steps need is read while the device computes this one."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import TypeVar

from torch import Tensor

from clara.model.store import MemoryStore
from clara.training.examples import Example

AHEAD = 2
"""Steps that are read before they are asked for."""

Key = TypeVar("Key")
Value = TypeVar("Value")


def ahead(load: Callable[[Key], Value], keys: Iterable[Key], *, count: int = AHEAD) -> Generator[Value, None, None]:
    """`load` of each key in turn, by a thread of its own that is up to `count` keys ahead of the one who asks."""
    waiting: deque[Future[Value]] = deque()
    with ThreadPoolExecutor(1, thread_name_prefix="prefetch") as worker:
        try:
            for key in keys:
                waiting.append(worker.submit(load, key))
                if len(waiting) > count:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


class AheadStore:
    """A store whose memories can be read before they are asked for.

    Args:
        store: where they are read.
    """

    def __init__(self, store: MemoryStore) -> None:
        self.store = store
        self._read: dict[tuple[str, ...], deque[Tensor]] = {}
        self._lock = Lock()

    def fetch(self, examples: Sequence[Example]) -> None:
        """Reads what the examples' documents were compressed to; each is then given once from memory."""
        for example in examples:
            found = self.store.memories(example.documents)
            with self._lock:
                self._read.setdefault(example.documents, deque()).append(found)

    def memories(self, documents: Sequence[str]) -> Tensor:
        """Memories `[documents, memory, dim]` of documents given by their text, in their order."""
        key = tuple(documents)
        with self._lock:
            if waiting := self._read.get(key):
                found = waiting.popleft()
                if not waiting:
                    del self._read[key]
                return found
        return self.store.memories(documents)
