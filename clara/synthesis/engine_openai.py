"""Any OpenAI-compatible server: a remote service, or `vllm serve` on this or another machine."""

import queue
from concurrent.futures import ThreadPoolExecutor

import httpx

from clara.errors import ConfigError, ResourceError
from clara.synthesis.dialect import Dialect, whole
from clara.synthesis.engine import Reply, Request, failure
from clara.synthesis.sending import Sender

CAPACITY = 64
LOST = 16
"""Requests in a row that found no server before the run ends; until then each is the matter of its passage alone."""
REFUSED = 8
"""Replies that are all refusals before the run ends; after a good one each is the matter of its passage alone."""
NOT_UNDERSTOOD = frozenset({400, 422})


class _Refusal(Exception):
    """The server did not take a request as it was."""


class OpenAIEngine:
    """Chat completions over HTTP, `capacity` at once, with bounded retries, in what the server understands of them."""

    name = "openai"

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        identity: str,
        api_key: str | None = None,
        capacity: int = CAPACITY,
        **waits: float,
    ) -> None:
        self.model = identity
        self.capacity = capacity
        self._served = model
        self._dialect = Dialect(model)
        self._sender = Sender(base_url, api_key=api_key, connections=capacity, **waits)
        self._check_model()
        self._pool = ThreadPoolExecutor(max_workers=capacity)
        self._done: queue.Queue[tuple[str, Reply | Exception]] = queue.Queue()
        self._open = 0
        self._lost = 0
        self._refusals = 0
        self._understood = False
        """Whether there was a good reply."""

    def submit(self, key: str, request: Request) -> None:
        """Sends the request from a thread of its own."""
        self._open += 1
        self._pool.submit(self._answer, key, request)

    def collect(self) -> list[tuple[str, Reply]]:
        """Waits for one reply and takes along those that came with it.

        Raises:
            ConfigError: the server refuses key, address or model, or whatever it is asked.
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
            elif isinstance(reply, _Refusal):
                self._refusals += 1
                if self._refusals == REFUSED and not self._understood:
                    raise ConfigError(
                        f"the first {REFUSED} requests to {self._sender.base_url} were refused, the last so: {reply}; "
                        "name a server that takes chat completions, or mend the settings of synthesis"
                    )
                reply = failure(str(reply))
            elif isinstance(reply, Exception):
                raise reply
            else:
                self._lost = 0
                self._understood |= reply.error is None
            done.append((key, reply))
        return done

    def close(self) -> None:
        """Ends threads and connections; open requests are dropped, waits are cut short."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._sender.close()

    def _check_model(self) -> None:
        answer = self._sender.send("GET", "/models", None)
        if answer.status_code != 200:
            return  # some services list no models; a wrong name then shows with the first request
        names = [entry.get("id") for entry in answer.json().get("data", [])]
        if names and self._served not in names:
            raise ConfigError(
                f"the server {self._sender.base_url} serves {', '.join(map(str, names))}, not {self._served}; "
                "name one of them as synthesis.model"
            )

    def _answer(self, key: str, request: Request) -> None:
        try:
            body, used = self._dialect.body(request)
            answer = self._sender.send("POST", "/chat/completions", body)
            while answer.status_code in NOT_UNDERSTOOD and self._dialect.learn(answer.text, used):
                body, used = self._dialect.body(request)
                answer = self._sender.send("POST", "/chat/completions", body)
            if answer.status_code in NOT_UNDERSTOOD:
                raise _Refusal(_status(answer))
            self._done.put((key, _reply(answer, request, used)))
        except Exception as error:  # raised again in the caller's thread, by collect
            self._done.put((key, error))


def _status(answer: httpx.Response) -> str:
    return f"the server answered with status {answer.status_code}: {answer.text[:200]}"


def _reply(answer: httpx.Response, request: Request, used: frozenset[str]) -> Reply:
    if answer.status_code in (401, 403, 404):
        raise ConfigError(
            f"the server refused {answer.url} with status {answer.status_code}: {answer.text[:200]}; "
            "mend synthesis.base_url, synthesis.model or the key"
        )
    if answer.status_code != 200:
        return failure(_status(answer))
    try:
        value = answer.json()
        choice = value["choices"][0]
        usage = value.get("usage") or {}
        return Reply(
            text=whole(choice["message"]["content"] or "", request, used),
            finish_reason=choice.get("finish_reason") or "stop",
            prompt_tokens=usage.get("prompt_tokens", 0),
            reply_tokens=usage.get("completion_tokens", 0),
        )
    except (ValueError, KeyError, IndexError, TypeError) as error:
        return failure(f"the server's answer is no chat completion ({error!r}): {answer.text[:200]}")
