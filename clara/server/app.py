"""The routes: OpenAI's chat completions and models; search, compress, explore; health, metrics, the Explorer page."""

import asyncio
import base64
import hashlib
import json
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.trustedhost import TrustedHostMiddleware
from fastapi.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from clara.errors import ClaraError, ConfigError
from clara.model.vllm_writer import VllmWriter
from clara.server import wire
from clara.server.batching import Batcher, Busy, Stopping
from clara.server.continuous import Continuous
from clara.server.explore import Served
from clara.server.guard import Guard, Metrics
from clara.server.jobs import Job, Left, Piece, Written
from clara.server.limits import Limits
from clara.server.whole import require_documents, require_question
from clara.server.wire import BadRequest

PAGE = Path(__file__).with_name("explorer.html")
EXPLORED_TOKENS = 48
LOOKED_SECONDS = 0.5
"""Between two looks whether a client that waits for a whole answer is still there."""
LOCAL_HOSTS = ["127.0.0.1", "localhost"]


def create_app(
    served: Served,
    limits: Limits,
    *,
    others: Sequence[Served] = (),
    key: str | None = None,
    hosts: list[str] | None = None,
    writer: VllmWriter | None = None,
) -> FastAPI:
    """The application, which starts its model thread and ends it with every accepted request answered.

    Args:
        served: the model that answers, and its store.
        limits: sizes and times.
        others: models whose answers the Explorer page shows beside.
        key: that clients must send; None for none.
        hosts: names under which the server is asked; others are refused, so that a page on the web cannot reach a
            server without key through a name of its own. None takes any.
        writer: writes the answers; None: transformers does, batch by batch.
    """
    metrics = Metrics()
    if writer is None:
        batcher = Batcher(served, limits, others=others, on_batch=metrics.batch.observe)
    else:
        batcher = Continuous(served, limits, writer=writer, others=others, on_batch=metrics.batch.observe)
    metrics.waiting.set_function(lambda: batcher.waiting)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        batcher.start()
        yield
        await asyncio.to_thread(batcher.close)

    app = FastAPI(title="CLaRa", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    _answer_errors(app, limits)
    routes = _Routes(batcher, served, limits=limits, metrics=metrics)
    app.get("/healthz")(routes.health)
    app.get("/metrics")(routes.metrics)
    app.get("/v1/models")(routes.models)
    app.post("/v1/chat/completions", response_model=None)(routes.chat)
    app.post("/search")(routes.search)
    app.post("/compress")(routes.compress)
    app.post("/explore")(routes.explore)
    app.get("/")(routes.page)
    names = frozenset(getattr(route, "path", "") for route in app.routes)
    if hosts is not None:
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=hosts)
    app.add_middleware(Guard, routes=names, key=key, body_bytes=limits.body_bytes, metrics=metrics)
    return app


class _Routes:
    """The answers to each route."""

    def __init__(self, batcher: Batcher, served: Served, *, limits: Limits, metrics: Metrics) -> None:
        self.batcher, self.name, self.k, self.limits, self.counted = batcher, served.name, served.k, limits, metrics
        self.served, self.systems, self.tokens = served, batcher.systems, served.model.model.tokens

    async def health(self) -> Response:
        thread, engine = self.batcher.alive, self.batcher.engine_works
        told = {"thread": "ok" if thread else "ended", "engine": "ok" if engine else "failed"}
        status = {"status": "ok" if thread and engine else "failed", "waiting": self.batcher.waiting}
        return JSONResponse(status | told, 200 if thread and engine else 503)

    async def metrics(self) -> Response:
        return Response(generate_latest(self.counted.registry), media_type=CONTENT_TYPE_LATEST)

    async def page(self) -> Response:
        text = PAGE.read_text(encoding="utf-8")
        return HTMLResponse(text, headers={"Content-Security-Policy": _policy(text)})

    async def models(self) -> dict[str, Any]:
        return {"object": "list", "data": [{"id": self.name, "object": "model", "created": 0, "owned_by": "clara"}]}

    async def search(self, asked: wire.SearchRequest, request: Request) -> dict[str, Any]:
        await self._check(asked.question, asked.k)
        job = Job("search", [asked.question], k=asked.k or self.k)
        return {"passages": [hit._asdict() for hit in (await self._events(job, request))[-1]]}

    async def explore(self, asked: wire.SearchRequest, request: Request) -> Any:
        await self._check(asked.question, asked.k, self.systems)
        job = Job("explore", [asked.question], k=asked.k or self.k, max_new_tokens=EXPLORED_TOKENS)
        return (await self._events(job, request))[-1]

    async def compress(self, asked: wire.CompressRequest, request: Request) -> dict[str, Any]:
        if len(asked.texts) > self.limits.texts:
            raise BadRequest(f"expected at most {self.limits.texts} texts, got {len(asked.texts)}; send them in parts")
        await asyncio.to_thread(require_documents, self.served, asked.texts, stored=False)
        return wire.memories((await self._events(Job("compress", asked.texts), request))[-1])

    async def chat(self, asked: wire.ChatRequest, request: Request) -> Response:
        if asked.model != self.name:
            text = f"there is no model {asked.model[:100]}, this server has {self.name}; name that"
            return JSONResponse(wire.refusal(text, "invalid_request_error", "model_not_found"), 404)
        question = asked.question
        await self._check(question, asked.k)
        if asked.new_tokens > self.limits.new_tokens:
            raise BadRequest(f"expected at most {self.limits.new_tokens} tokens of answer, got {asked.new_tokens}")
        if asked.documents is not None and len(asked.documents) > self.limits.texts:
            raise BadRequest(f"expected at most {self.limits.texts} documents, got {len(asked.documents)}; send fewer")
        if asked.documents is not None:
            await asyncio.to_thread(require_documents, self.served, asked.documents, stored=True)
        job = Job("answer", [question], asked.k or self.k, asked.new_tokens, asked.documents)
        identity = f"chatcmpl-{uuid.uuid4().hex}"
        if asked.stream:
            self.batcher.submit(job)
            usage = asked.stream_options is not None and asked.stream_options.include_usage
            body = self._streamed(job, identity, usage=usage)
            return StreamingResponse(body, media_type="text/event-stream", headers={"Cache-Control": "no-cache"})
        *pieces, end = await self._events(job, request)
        assert isinstance(end, Written)
        text = "".join(piece.text for piece in pieces)
        return JSONResponse(wire.completion(identity, self.name, text, end, await self._prompt_tokens(job, end)))

    async def _streamed(self, job: Job, identity: str, *, usage: bool) -> AsyncIterator[str]:
        events, last = job.events(), asyncio.get_running_loop().time() + self.limits.timeout_seconds
        try:
            yield _event(wire.chunk(identity, self.name, {"role": "assistant", "content": ""}))
            event: Any = None
            while not isinstance(event, Written):
                # Around the wait alone: around a yield it would strike whoever sends, who does not know of it.
                async with asyncio.timeout_at(last):
                    event = await anext(events)
                if isinstance(event, Piece):
                    yield _event(wire.chunk(identity, self.name, {"content": event.text}))
            yield _event(wire.chunk(identity, self.name, {}, event))
            if usage:
                tokens = await self._prompt_tokens(job, event)
                yield _event(wire.usage_chunk(identity, self.name, event, tokens))
            yield "data: [DONE]\n\n"
        except TimeoutError:
            yield _event(wire.refusal(_late(self.limits), "server_error", "timeout"))
        except ClaraError as error:  # the status has been sent already
            yield _event(wire.refusal(str(error), "invalid_request_error"))
        finally:
            job.gone.set()  # also where the client has left
            await events.aclose()

    async def _events(self, job: Job, request: Request) -> list[Any]:
        """All that a job gives, for a client that takes it whole."""
        self.batcher.submit(job)
        watching = asyncio.create_task(_watch(job, request))
        try:
            async with asyncio.timeout(self.limits.timeout_seconds):
                return [event async for event in job.events()]
        finally:
            watching.cancel()
            job.gone.set()

    async def _check(self, question: str, k: int | None, systems: Sequence[Served] = ()) -> None:
        if not question.strip():
            raise BadRequest("expected a question, got spaces; send its text")
        if len(question) > self.limits.characters:
            raise BadRequest(
                f"expected a question of at most {self.limits.characters:,} characters, got {len(question):,}; cut it"
            )
        if k is not None and k > self.limits.passages:
            raise BadRequest(f"expected k of at most {self.limits.passages}, got {k}; ask for fewer passages")
        # In a thread, for the tokenizer may be at work on the texts of others.
        await asyncio.to_thread(require_question, systems or [self.served], question)

    async def _prompt_tokens(self, job: Job, end: Written) -> int:
        # In a thread, as above.
        prompt = await asyncio.to_thread(self.tokens.answer_prompt, job.texts[0], len(end.selection.documents))
        return len(prompt)


async def _watch(job: Job, request: Request) -> None:
    """Lets the job go once its client has."""
    while not await request.is_disconnected():
        await asyncio.sleep(LOOKED_SECONDS)
    job.leave()


def _answer_errors(app: FastAPI, limits: Limits) -> None:
    """Lets every error be one sentence in the form that OpenAI's clients read."""

    @app.exception_handler(Busy)
    async def busy(_: Request, error: Exception) -> Response:
        headers = {"Retry-After": "1"}
        return JSONResponse(wire.refusal(str(error), "rate_limit_error", "queue_full"), 429, headers=headers)

    @app.exception_handler(Stopping)
    async def stopping(_: Request, error: Exception) -> Response:
        return JSONResponse(wire.refusal(str(error), "server_error"), 503)

    @app.exception_handler(Left)
    async def left(_: Request, error: Exception) -> Response:  # for the counts: nobody reads it
        return JSONResponse(wire.refusal(str(error), "server_error"), 499)

    @app.exception_handler(BadRequest)
    @app.exception_handler(ConfigError)  # longer than the language model reads
    async def refused(_: Request, error: Exception) -> Response:
        return JSONResponse(wire.refusal(str(error), "invalid_request_error"), 400)

    @app.exception_handler(ClaraError)
    async def broken(_: Request, error: Exception) -> Response:
        return JSONResponse(wire.refusal(str(error), "server_error"), 500)

    @app.exception_handler(TimeoutError)
    async def late(_: Request, error: Exception) -> Response:
        return JSONResponse(wire.refusal(_late(limits), "server_error", "timeout"), 504)

    @app.exception_handler(RequestValidationError)
    async def malformed(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        return JSONResponse(wire.refusal(f"{place}: {first['msg']}", "invalid_request_error"), 400)

    @app.exception_handler(Exception)
    async def failed(_: Request, error: Exception) -> Response:
        text = f"the server failed ({type(error).__name__}); its log says more"
        return JSONResponse(wire.refusal(text, "server_error"), 500)


def _policy(page: str) -> str:
    """Lets the page's own style and script run, by their hashes, and nothing else."""
    hashes = []
    for tag in ("style", "script"):
        content = page.partition(f"<{tag}>")[2].partition(f"</{tag}>")[0]
        digest = base64.b64encode(hashlib.sha256(content.encode("utf-8")).digest()).decode("ascii")
        hashes.append(f"{tag}-src 'sha256-{digest}'")
    return "; ".join(["default-src 'none'", *hashes, "connect-src 'self'", "img-src data:", "base-uri 'none'"])


def _late(limits: Limits) -> str:
    return f"no answer within {limits.timeout_seconds:g} seconds; ask again later or for fewer tokens"


def _event(content: dict[str, Any]) -> str:
    return f"data: {json.dumps(content, ensure_ascii=False)}\n\n"
