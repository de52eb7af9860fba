"""Micro-batching: requests that wait at the same time are worked on together, by one thread that owns the model."""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress

from clara.errors import ResourceError
from clara.model.answers import Selected
from clara.server.explore import Served, explore
from clara.server.jobs import Job, Piece, Written
from clara.server.limits import Limits


class Busy(ResourceError):
    """As many requests wait as may."""


class Stopping(ResourceError):
    """The server is ending, or its model thread has ended."""


class Batcher:
    """The thread and its queue.

    Args:
        served: the model, used by the thread alone, and its store.
        others: models that `explore` asks as well.
        limits: sizes of the batch and the queue.
        on_batch: told the size of every batch.
    """

    def __init__(
        self, served: Served, limits: Limits, *, others: Sequence[Served] = (), on_batch: Callable[[int], None]
    ) -> None:
        self.model, self.store, self.limits, self.on_batch = served.model, served.store, limits, on_batch
        self.systems = [served, *others]
        self._jobs: deque[Job] = deque()
        self._taken: list[Job] = []  # the batch at work
        self._changed = threading.Condition()
        self._closed = False
        self._failure = ""
        self._thread = threading.Thread(target=self._run, name="clara-model", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    @property
    def engine_works(self) -> bool:
        """Whether what writes the answers did so the last time."""
        return True

    @property
    def waiting(self) -> int:
        """Requests that no batch has taken yet."""
        return len(self._jobs)

    def submit(self, job: Job) -> Job:
        """Puts a job at the end of the queue.

        Raises:
            Busy: the queue is full.
            Stopping: the server is ending, or its model thread has ended.
        """
        with self._changed:
            if self._failure:
                raise Stopping(self._failure)
            if self._closed:
                raise Stopping("the server is stopping; ask again later")
            if len(self._jobs) >= self.limits.waiting:
                raise Busy(f"{len(self._jobs)} requests wait already, which is the limit; ask again in a moment")
            self._jobs.append(job)
            self._changed.notify()
        return job

    def close(self) -> None:
        """Takes no more jobs, finishes those that wait, and ends the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        try:
            self._serve()
        except BaseException as error:
            # A fault of ours: an error of a request is caught where it is worked on. Nobody may wait for a thread that
            # is no more.
            with self._changed:
                self._failure = (
                    f"the server's model thread ended ({type(error).__name__}); restart it, its log says more"
                )
                left = self._accepted()
                self._jobs.clear()
            for job in left:
                with suppress(RuntimeError):  # the loop of this one's client is closed
                    job.give(Stopping(self._failure))
            raise

    def _accepted(self) -> list[Job]:
        """What somebody may still wait for."""
        return [*self._taken, *self._jobs]

    def _serve(self) -> None:
        while batch := self._collect():
            self._work(batch)

    def _work(self, batch: Sequence[Job]) -> None:
        wanted = [job for job in batch if not job.gone.is_set()]
        self.on_batch(len(wanted))
        for kind, work in (
            ("compress", self._compress),
            ("search", self._search),
            ("answer", self._answer),
            ("explore", self._explore),
        ):
            _guarded(work, [job for job in wanted if job.kind == kind])

    def _collect(self, under_way: int = 0) -> list[Job]:
        """The next batch; empty when the server ends and nothing waits, or nothing waits and others are under way."""
        with self._changed:
            full = self.limits.batch - under_way
            if not under_way:
                self._changed.wait_for(lambda: self._jobs or self._closed)
                self._changed.wait_for(lambda: len(self._jobs) >= full or self._closed, self.limits.wait_seconds)
            self._taken = [self._jobs.popleft() for _ in range(min(full, len(self._jobs)))]
            return self._taken

    def _compress(self, jobs: Sequence[Job]) -> None:
        memories = self.model.compress([text for job in jobs for text in job.texts])
        first = 0
        for job in jobs:
            job.give(memories[first : first + len(job.texts)])
            first += len(job.texts)

    def _search(self, jobs: Sequence[Job]) -> None:
        most = max(job.k for job in jobs)
        found = self.model.search([job.texts[0] for job in jobs], store=self.store, k=most)
        for job, hits in zip(jobs, found, strict=True):
            job.give(hits[: job.k])

    def _answer(self, jobs: Sequence[Job]) -> None:
        ordered, chosen = self._chosen(jobs)
        started = time.perf_counter()
        counts = self.model.write(
            [job.texts[0] for job in ordered],
            chosen,
            max_new_tokens=[job.max_new_tokens for job in ordered],
            on_text=lambda row, text: ordered[row].give(Piece(text)),
            stopped=lambda row: ordered[row].gone.is_set(),
        )
        seconds = time.perf_counter() - started
        for job, found, tokens in zip(ordered, chosen, counts, strict=True):
            job.give(Written(found, tokens, tokens >= job.max_new_tokens, seconds))

    def _chosen(self, jobs: Sequence[Job]) -> tuple[list[Job], list[Selected]]:
        """The jobs, in an order of their own, and what is read for each."""
        stored = [job for job in jobs if job.candidates is None]
        own = [job for job in jobs if job.candidates is not None]
        chosen = list[Selected]()
        if stored:
            questions, most = [job.texts[0] for job in stored], max(job.k for job in stored)
            chosen += self.model.find(questions, store=self.store, k=most)
        for job in own:  # k decides what a checkpoint without a reasoner can do: each by itself
            chosen += self.model.find([job.texts[0]], documents=[job.candidates or []], store=self.store, k=job.k)
        ordered = [*stored, *own]
        return ordered, [found.first(job.k) for job, found in zip(ordered, chosen, strict=True)]

    def _explore(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            job.give(explore(self.systems, job.texts[0], k=job.k, max_new_tokens=job.max_new_tokens))


def _guarded(work: Callable[[Sequence[Job]], None], jobs: Sequence[Job]) -> None:
    """Does the work; where it fails, each job by itself, so that one bad request spoils no other."""
    if not jobs:
        return
    try:
        work(jobs)
    except Exception as error:  # the thread must live on; the client is told
        anew = [job for job in jobs if not job.started]
        for job in jobs:
            if job.started or len(jobs) == 1:
                job.give(error)
        if len(jobs) > 1:
            for job in anew:
                _guarded(work, [job])
