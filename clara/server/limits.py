"""What the server takes from its clients at most."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Sizes and times; beyond them a request is refused, never cut."""

    batch: int = 16
    """Requests that the model works on together."""
    wait_seconds: float = 0.01
    """Time that the first request of a batch waits for others."""
    waiting: int = 64
    """Requests that wait at most; another gets status 429."""
    body_bytes: int = 1_000_000
    characters: int = 4_000
    """Of a question; tokens of questions and texts are limited by what the model reads (`clara.server.whole`)."""
    texts: int = 64
    """Texts compressed by one request."""
    passages: int = 50
    """Passages searched for by one request."""
    new_tokens: int = 512
    """Tokens of an answer."""
    timeout_seconds: float = 120.0
    """From arrival to the last byte; then the work is dropped."""
