"""A load generator: clients that ask one question after the other, and how long they waited."""

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import httpx

from clara.errors import DataError

BAD: tuple[dict[str, Any], ...] = (
    {"content": b"{", "headers": {"content-type": "application/json"}},
    {"json": {"model": "no such model", "messages": [{"role": "user", "content": "x"}]}},
    {"json": {"messages": "x"}},
    {"content": b"x" * 2_000_000},
)
"""Requests that a server must refuse."""


class Load(NamedTuple):
    """What some clients at once met with."""

    clients: int
    requests: int
    """Answered with status 200."""
    seconds: float
    p50: float
    """Seconds that half of the answered requests took at most."""
    p99: float
    statuses: dict[str, int]
    """Requests by status; `lost` are those without any."""

    @property
    def per_second(self) -> float:
        """Answers a second, of all clients together."""
        return self.requests / self.seconds


async def measure(
    address: str,
    questions: Sequence[str],
    *,
    clients: int,
    requests: int | None = None,
    seconds: float | None = None,
    bad_every: int | None = None,
    max_tokens: int = 16,
    key: str | None = None,
) -> Load:
    """What `clients` meet with that ask at once, each its next question as soon as the last one is answered.

    Args:
        address: of the server, such as `http://127.0.0.1:8000`.
        questions: asked in turn.
        clients: at once.
        requests: sent in all; or
        seconds: after which no more are sent.
        bad_every: every so-manieth request is one of `BAD`; None sends none.
        max_tokens: of an answer.
        key: of the server.

    Raises:
        DataError: no request was answered.
    """
    headers = {"authorization": f"Bearer {key}"} if key else {}
    limits = httpx.Limits(max_connections=clients)
    async with httpx.AsyncClient(base_url=address, headers=headers, timeout=600, limits=limits) as http:
        model = (await http.get("/v1/models")).raise_for_status().json()["data"][0]["id"]
        started = time.perf_counter()
        end = started + seconds if seconds is not None else float("inf")
        todo = enumerate(itertools.islice(itertools.cycle(questions), requests))
        times: list[float] = []
        statuses: Counter[str] = Counter()

        async def client() -> None:
            for number, question in todo:
                if time.perf_counter() >= end:
                    return
                is_bad = bad_every is not None and number % bad_every == bad_every - 1
                body = {"json": _body(model, question, max_tokens)}
                sent = time.perf_counter()
                status = await _status(http, BAD[number // (bad_every or 1) % len(BAD)] if is_bad else body)
                statuses[status] += 1
                if status == "200":
                    times.append(time.perf_counter() - sent)

        await asyncio.gather(*(client() for _ in range(clients)))
        took = time.perf_counter() - started
    if not times:
        raise DataError(f"{address} answered none of the requests ({dict(statuses)}); see the server's log")
    times.sort()
    return Load(
        clients, len(times), took, _quantile(times, 0.5), _quantile(times, 0.99), dict(sorted(statuses.items()))
    )


async def resident_bytes(address: str, *, key: str | None = None) -> int:
    """Memory of the server's process, as it tells itself."""
    headers = {"authorization": f"Bearer {key}"} if key else {}
    async with httpx.AsyncClient(base_url=address, headers=headers, timeout=60) as http:
        text = (await http.get("/metrics")).raise_for_status().text
    line = next(line for line in text.splitlines() if line.startswith("process_resident_memory_bytes "))
    return int(float(line.split()[1]))


def table(loads: Sequence[Load]) -> Iterator[str]:
    """The loads as lines of a Markdown table."""
    yield "| clients | answers | answers/s | p50 s | p99 s | statuses |"
    yield "| --: | --: | --: | --: | --: | --- |"
    for load in loads:
        statuses = ", ".join(f"{status}: {count}" for status, count in load.statuses.items())
        times = f"{load.p50:.2f} | {load.p99:.2f}"
        yield f"| {load.clients} | {load.requests} | {load.per_second:.2f} | {times} | {statuses} |"


def _body(model: str, question: str, max_tokens: int) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": question}], "max_tokens": max_tokens}


async def _status(http: httpx.AsyncClient, body: dict[str, Any]) -> str:
    try:
        return str((await http.post("/v1/chat/completions", **body)).status_code)
    except httpx.HTTPError:
        return "lost"


def _quantile(ordered: Sequence[float], share: float) -> float:
    """By nearest rank."""
    return ordered[round((len(ordered) - 1) * share)]
