"""HTTP requests to a server that may be busy, or away for a moment."""

import random
import threading
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from clara.errors import ResourceError

ATTEMPTS = 5
FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 60.0
"""Between two attempts, where the server names no time."""
PATIENCE_SECONDS = 600.0
"""That a request waits for a server that is there and says that it is busy."""
TIMEOUT_SECONDS = 300.0
CONNECT_SECONDS = 10.0
BUSY = frozenset({429, 503})
"""Answers of a server that asks for patience."""
RETRIED = frozenset({408, 409, 425, 500, 502, 504}) | BUSY
"""Answers of a server that is busy or starting; others would come again."""


class Sender:
    """A client of one server, for any number of threads.

    Args:
        base_url: the server's address.
        api_key: its key, if it has one.
        connections: at most, at once.
        wait_seconds: before the second attempt; doubles with each.
        patience_seconds: that a request waits for a busy server.
    """

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str | None,
        connections: int,
        wait_seconds: float = FIRST_WAIT_SECONDS,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self._wait_seconds = wait_seconds
        self._patience_seconds = patience_seconds
        self._closed = threading.Event()
        self._client = httpx.Client(
            headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
            timeout=httpx.Timeout(TIMEOUT_SECONDS, connect=CONNECT_SECONDS),
            limits=httpx.Limits(max_connections=connections),
            # A proxy that the environment names does not reach a server of this machine.
            trust_env=not base_url.startswith("http://127.0.0.1"),
        )

    def close(self) -> None:
        """Cuts waits short and ends the connections."""
        self._closed.set()
        self._client.close()

    def send(self, method: str, path: str, body: dict[str, Any] | None) -> httpx.Response:
        """The server's answer, after waits that double; the last answer if it stays busy.

        A fault costs an attempt; a server that says that it is busy is waited for as long as it asks, within patience.
        """
        url = self.base_url + path
        reason = ""
        wait, attempts = self._wait_seconds, 0
        end = time.monotonic() + self._patience_seconds
        while attempts < ATTEMPTS and not self._closed.is_set():
            pause = wait
            try:
                answer = self._client.request(method, url, json=body)
                if answer.status_code not in RETRIED:
                    return answer
                if answer.status_code in BUSY:
                    pause = _asked_wait(answer) or wait
                    if time.monotonic() + pause > end:
                        return answer
                elif attempts == ATTEMPTS - 1:
                    return answer
                else:
                    attempts += 1
            except httpx.TransportError as error:
                reason = str(error) or type(error).__name__
                attempts += 1
            # Requests refused together do not come back together, and none comes back too early.
            self._closed.wait(pause * random.uniform(1.0, 1.5))
            wait = min(2 * wait, LONGEST_WAIT_SECONDS)
        raise ResourceError(
            f"the server {url} did not answer in {ATTEMPTS} attempts ({reason}); start it or mend synthesis.base_url"
        )


def _asked_wait(answer: httpx.Response) -> float:
    """Seconds that a busy server asks to wait, as a number or as a date; 0 where it says nothing."""
    said = answer.headers.get("Retry-After", "")
    try:
        return max(0.0, float(said))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(said) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):  # no date, or one without a time zone
        return 0.0
