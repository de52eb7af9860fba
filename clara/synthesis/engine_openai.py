"""Any OpenAI-compatible server: a remote service, or `vllm serve` on this or another machine."""

import queue
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from clara.errors import ConfigError, ResourceError
from clara.synthesis.engine import Reply, Request, failure

CAPACITY = 64
ATTEMPTS = 5
FIRST_WAIT_SECONDS = 0.5
TIMEOUT_SECONDS = 300.0
CONNECT_SECONDS = 10.0
LOST = 16
"""Requests in a row that found no server before the run ends; until then each is the matter of its passage alone."""
RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
"""Answers of a server that is busy or starting; others would come again."""


class OpenAIEngine:
    """Chat completions over HTTP, `capacity` at once, with bounded retries.

    The reply's beginning and a list of choices are asked for in vLLM's way, which other servers may refuse or ignore;
    what comes back is checked like any other reply.
    """

    name = "openai"

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        identity: str,
        wait_seconds: float = FIRST_WAIT_SECONDS,
        api_key: str | None = None,
        capacity: int = CAPACITY,
    ) -> None:
        self.model = identity
        self.capacity = capacity
        self._served = model
        self._base_url = base_url.rstrip("/")
        self._wait_seconds = wait_seconds
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._client = httpx.Client(
            headers=headers,
            timeout=httpx.Timeout(TIMEOUT_SECONDS, connect=CONNECT_SECONDS),
            limits=httpx.Limits(max_connections=capacity),
            # A proxy that the environment names does not reach a server of this machine.
            trust_env=not base_url.startswith("http://127.0.0.1"),
        )
        self._check_model()
        self._pool = ThreadPoolExecutor(max_workers=capacity)
        self._done: queue.Queue[tuple[str, Reply | Exception]] = queue.Queue()
        self._open = 0
        self._lost = 0

    def submit(self, key: str, request: Request) -> None:
        """Sends the request from a thread of its own."""
        self._open += 1
        self._pool.submit(self._answer, key, request)

    def collect(self) -> list[tuple[str, Reply]]:
        """Waits for one reply and takes along those that came with it.

        Raises:
            ConfigError: the server refuses key, address or model.
            ResourceError: it is gone for good.
        """
        done: list[tuple[str, Reply]] = []
        while self._open and (not done or not self._done.empty()):
            key, reply = self._done.get()
            self._open -= 1
            if isinstance(reply, ResourceError):
                self._lost += 1
                if self._lost >= LOST:
                    raise reply
                reply = failure(str(reply))
            elif isinstance(reply, Exception):
                raise reply
            else:
                self._lost = 0
            done.append((key, reply))
        return done

    def close(self) -> None:
        """Ends threads and connections; open requests are dropped."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._client.close()

    def _check_model(self) -> None:
        answer = self._send("GET", "/models", None)
        if answer.status_code != 200:
            return  # some services list no models; a wrong name then shows with the first request
        names = [entry.get("id") for entry in answer.json().get("data", [])]
        if names and self._served not in names:
            raise ConfigError(
                f"the server {self._base_url} serves {', '.join(map(str, names))}, not {self._served}; "
                "name one of them as synthesis.model"
            )

    def _answer(self, key: str, request: Request) -> None:
        try:
            answer = self._send("POST", "/chat/completions", self._body(request))
            self._done.put((key, _reply(answer, request.beginning)))
        except Exception as error:  # raised again in the caller's thread, by collect
            self._done.put((key, error))

    def _body(self, request: Request) -> dict[str, Any]:
        sampling = request.sampling
        messages = [message._asdict() for message in request.messages]
        body: dict[str, Any] = {
            "model": self._served,
            "messages": messages,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_tokens,
            "seed": sampling.seed,
        }
        if request.beginning:
            messages.append({"role": "assistant", "content": request.beginning})
            body |= {"continue_final_message": True, "add_generation_prompt": False}
        if request.choices:
            body["structured_outputs"] = {"choice": list(request.choices)}
        elif request.schema is not None:
            import json

            schema = {"name": "reply", "schema": json.loads(request.schema)}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        return body

    def _send(self, method: str, path: str, body: dict[str, Any] | None) -> httpx.Response:
        """The server's answer, after waits that double; the last answer if it stays busy."""
        url = self._base_url + path
        reason = ""
        for attempt in range(ATTEMPTS):
            try:
                answer = self._client.request(method, url, json=body)
                if answer.status_code not in RETRIED or attempt == ATTEMPTS - 1:
                    return answer
            except httpx.TransportError as error:
                reason = str(error) or type(error).__name__
            time.sleep(self._wait_seconds * 2**attempt)
        raise ResourceError(
            f"the server {url} did not answer in {ATTEMPTS} attempts ({reason}); start it or mend synthesis.base_url"
        )


def _reply(answer: httpx.Response, beginning: str) -> Reply:
    if answer.status_code in (401, 403, 404):
        raise ConfigError(
            f"the server refused {answer.url} with status {answer.status_code}: {answer.text[:200]}; "
            "mend synthesis.base_url, synthesis.model or the key"
        )
    if answer.status_code != 200:
        return failure(f"the server answered with status {answer.status_code}: {answer.text[:200]}")
    try:
        value = answer.json()
        choice = value["choices"][0]
        usage = value.get("usage") or {}
        return Reply(
            text=beginning + (choice["message"]["content"] or ""),
            finish_reason=choice.get("finish_reason") or "stop",
            prompt_tokens=usage.get("prompt_tokens", 0),
            reply_tokens=usage.get("completion_tokens", 0),
        )
    except (ValueError, KeyError, IndexError, TypeError) as error:
        return failure(f"the server's answer is no chat completion ({error!r}): {answer.text[:200]}")
