"""The gate before every route: key, size of the body, and a count of what came and how it ended."""

import asyncio
import json
import secrets
import time
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, PlatformCollector, ProcessCollector

from clara.server.wire import refusal

OPEN = ("/", "/healthz")
"""Routes that need no key: they say nothing of model or store."""
BODY_SECONDS = 30
DRAINED = 10
"""A body of up to so many times the limit is read to its end and dropped: a client that is cut off while it sends never
sees why."""
BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class Metrics:
    """What `/metrics` tells, in a registry of this server's own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        registry = self.registry
        self.requests = Counter(
            "clara_requests", "Requests by route and status", ["route", "status"], registry=registry
        )
        self.seconds = Histogram(
            "clara_request_seconds", "Arrival to last byte", ["route"], buckets=BUCKETS, registry=registry
        )
        self.batch = Histogram(
            "clara_batch_requests", "Size of batches", buckets=(1, 2, 4, 8, 16, 32), registry=registry
        )
        self.waiting = Gauge("clara_waiting_requests", "Requests that no batch has taken yet", registry=registry)


class Guard:
    """ASGI middleware.

    Args:
        app: what it guards.
        routes: paths that are counted by name; others are counted together, so that clients cannot fill the memory.
        key: clients must send it as `Authorization: Bearer KEY`; None lets everybody in.
        body_bytes: of a request at most.
        metrics: counts.
    """

    def __init__(self, app: Any, *, routes: frozenset[str], key: str | None, body_bytes: int, metrics: Metrics) -> None:
        self.app, self.routes, self.key, self.body_bytes, self.metrics = app, routes, key, body_bytes, metrics

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        route = scope["path"] if scope["path"] in self.routes else "other"
        status, started = 0, time.perf_counter()

        async def counted_send(message: Any) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            headers = dict(scope["headers"])
            if not self._allowed(scope["path"], headers):
                text = "expected the server's key as `Authorization: Bearer KEY`; send it"
                await _answer(counted_send, 401, refusal(text, "authentication_error", "invalid_api_key"))
                return
            body = None
            if _declared(headers) <= DRAINED * self.body_bytes:
                async with asyncio.timeout(BODY_SECONDS):
                    body = await self._body(receive)
            if body is None:
                text = f"the request is larger than {self.body_bytes:,} bytes; send less"
                await _answer(counted_send, 413, refusal(text, "invalid_request_error"))
                return
            await self.app(scope, _replayed(body, receive), counted_send)
        except TimeoutError:
            if not status:
                text = f"the request's body did not arrive within {BODY_SECONDS} seconds; send it at once"
                await _answer(counted_send, 408, refusal(text, "invalid_request_error"))
        finally:
            self.metrics.requests.labels(route, str(status)).inc()
            self.metrics.seconds.labels(route).observe(time.perf_counter() - started)

    async def _body(self, receive: Any) -> bytes | None:
        """The whole body; None where it is too large."""
        parts, size, more = list[bytes](), 0, True
        while more and size <= DRAINED * self.body_bytes:
            message = await receive()
            part = message.get("body", b"")
            size += len(part)
            if size <= self.body_bytes:
                parts.append(part)
            more = message.get("more_body", False)
        return b"".join(parts) if size <= self.body_bytes else None

    def _allowed(self, path: str, headers: dict[bytes, bytes]) -> bool:
        if self.key is None or path in OPEN:
            return True
        return secrets.compare_digest(headers.get(b"authorization", b""), f"Bearer {self.key}".encode())


def _replayed(body: bytes, receive: Any) -> Any:
    """`receive` that gives a body that was read already, then whatever comes."""
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Any:
        return waiting.pop() if waiting else await receive()

    return replayed


def _declared(headers: dict[bytes, bytes]) -> int:
    length = headers.get(b"content-length", b"0")
    return int(length) if length.isdigit() else 0


async def _answer(send: Any, status: int, content: dict[str, Any]) -> None:
    body = json.dumps(content).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status in (408, 413):
        headers.append((b"connection", b"close"))  # the rest of the body is not read
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
