"""All passages' loops over one engine: each moves on its own, and the engine is kept full."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from clara.synthesis.cache import ReplyCache
from clara.synthesis.engine import Reply, Request, TextEngine
from clara.synthesis.rows import Outcome
from clara.synthesis.tasks import Steps

FULL = 2
"""Requests under way, in multiples of the engine's capacity: enough that it never waits for the next one."""
AHEAD = 8192
"""Outcomes that are kept while one before them is not there yet: where nearly all replies are cached, the tasks behind
the first uncached one would end all at once. They take 23 KB each at most, 190 MB together."""


@dataclass
class Work:
    """What the loop has done so far; tokens and requests of cached replies count as cached only."""

    requests: int = 0
    cached: int = 0
    prompt_tokens: int = 0
    reply_tokens: int = 0


@dataclass
class _Open:
    place: int
    steps: Steps
    replies: list[Reply | None] = field(default_factory=list)
    used: list[Reply] = field(default_factory=list)
    """Every reply that the task was given."""


def run(
    tasks: Iterable[Steps],
    engine: TextEngine,
    cache: ReplyCache,
    *,
    take: Callable[[Outcome], None],
    on_outcome: Callable[[Outcome, Work], None] = lambda outcome, work: None,
) -> Work:
    """Runs all tasks and says what it took; of the outcomes only those are kept that cannot be handed on yet.

    Args:
        tasks: generators of `clara.synthesis.tasks.steps`; each is taken up when the engine has room.
        engine: answers what is not cached.
        cache: keeps every finished reply before it is used.
        take: is given the outcomes one by one, in the tasks' order, whatever order their replies came in.
        on_outcome: told after each finished task what it brought, and what was done so far in all.
    """
    driver = _Driver(engine, cache, take, on_outcome)
    for place, steps in enumerate(tasks):
        driver.start(place, steps)
        while len(driver.waiting) >= FULL * engine.capacity or len(driver.ahead) >= AHEAD:
            driver.collect()
    while driver.waiting:
        driver.collect()
    assert not driver.ahead, "every task has ended"
    return driver.work


class _Driver:
    def __init__(
        self,
        engine: TextEngine,
        cache: ReplyCache,
        take: Callable[[Outcome], None],
        on_outcome: Callable[[Outcome, Work], None],
    ) -> None:
        self.engine, self.cache, self.take, self.on_outcome = engine, cache, take, on_outcome
        self.work = Work()
        self.taken = 0
        self.ahead: dict[int, Outcome] = {}
        """By place; those before them are not there yet."""
        self.waiting: dict[str, list[tuple[_Open, int]]] = {}
        """Who waits for which request; equal requests of several tasks are sent once."""

    def start(self, place: int, steps: Steps) -> None:
        """Begins a task."""
        self._advance(_Open(place, steps), None)

    def collect(self) -> None:
        """Hands finished replies to the tasks that wait for them."""
        replies = self.engine.collect()
        assert replies, "an engine returns at least one reply while requests are under way"
        for key, reply in replies:
            self.cache.put(key, reply)
            self.work.requests += 1
            self.work.prompt_tokens += reply.prompt_tokens
            self.work.reply_tokens += reply.reply_tokens
            for task, place in self.waiting.pop(key):
                task.replies[place] = reply
                if None not in task.replies:
                    self._advance(task, task.replies)

    def _advance(self, task: _Open, replies: list[Reply | None] | None) -> None:
        """Runs a task until it needs a reply that is not there yet, or ends."""
        while True:
            task.used += [reply for reply in replies or () if reply is not None]
            try:
                wanted = next(task.steps) if replies is None else task.steps.send(replies)  # type: ignore[arg-type]
            except StopIteration as end:
                outcome: Outcome = end.value
                outcome.requests = len(task.used)
                outcome.prompt_tokens = sum(reply.prompt_tokens for reply in task.used)
                outcome.reply_tokens = sum(reply.reply_tokens for reply in task.used)
                self.on_outcome(outcome, self.work)
                self._hand_on(task.place, outcome)
                return
            task.replies = replies = [self.cache.get(request.key(self.engine.model)) for request in wanted]
            self.work.cached += sum(reply is not None for reply in replies)
            if None in replies:
                self._ask(task, wanted)
                return

    def _hand_on(self, place: int, outcome: Outcome) -> None:
        self.ahead[place] = outcome
        while self.taken in self.ahead:
            self.take(self.ahead.pop(self.taken))
            self.taken += 1

    def _ask(self, task: _Open, wanted: list[Request]) -> None:
        for place, request in enumerate(wanted):
            if task.replies[place] is None:
                key = request.key(self.engine.model)
                if key not in self.waiting:
                    self.waiting[key] = []
                    self.engine.submit(key, request)
                self.waiting[key].append((task, place))
