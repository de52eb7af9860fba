"""Requests and responses: OpenAI's chat completions, and the server's own few."""

import base64
import time
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from torch import Tensor

from clara.errors import DataError
from clara.records import document_id
from clara.server.jobs import Written

DEFAULT_NEW_TOKENS = 64


class BadRequest(DataError):
    """What a client sent cannot be served."""


def _words(text: str) -> str:
    if not text.strip():
        raise ValueError("expected words, got an empty text; leave it out")
    return text


Text = Annotated[str, Field(min_length=1), AfterValidator(_words)]
"""A document as a client sends it."""


class Request(BaseModel):
    """Unknown fields are ignored: clients send many that a greedy answer has no use for."""

    model_config = ConfigDict(extra="ignore")


class Part(Request):
    """A part of a message."""

    type: str
    text: str = ""


class Message(Request):
    """A turn of the conversation."""

    role: str
    content: str | list[Part] | None = None

    @property
    def text(self) -> str:
        """The text of all parts.

        Raises:
            BadRequest: a part is no text.
        """
        if not isinstance(self.content, list):
            return self.content or ""
        if other := [part.type for part in self.content if part.type != "text"]:
            raise BadRequest(f"messages may hold parts of type text, not {other[0]}; send text")
        return "".join(part.text for part in self.content)


class StreamOptions(Request):
    """Of a streamed answer."""

    include_usage: bool = False


class ChatRequest(Request):
    """`POST /v1/chat/completions`. The last user message is the question; earlier turns are not read."""

    model: str
    messages: Annotated[list[Message], Field(min_length=1)]
    max_tokens: Annotated[int | None, Field(ge=1)] = None
    max_completion_tokens: Annotated[int | None, Field(ge=1)] = None
    n: Literal[1] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    k: Annotated[int | None, Field(ge=1)] = None
    """Passages read; not OpenAI's."""
    documents: list[Text] | None = None
    """Candidates of the client's own retriever instead of the store; not OpenAI's."""

    @property
    def question(self) -> str:
        """The text of the last user message.

        Raises:
            BadRequest: there is none, or it is empty.
        """
        asked = [message.text for message in self.messages if message.role == "user"]
        if not asked or not asked[-1].strip():
            raise BadRequest("expected a user message with text, the question; send one")
        return asked[-1]

    @property
    def new_tokens(self) -> int:
        """Tokens of the answer at most."""
        return self.max_completion_tokens or self.max_tokens or DEFAULT_NEW_TOKENS


class SearchRequest(Request):
    """`POST /search` and `POST /explore`."""

    question: Annotated[str, Field(min_length=1)]
    k: Annotated[int | None, Field(ge=1)] = None


class CompressRequest(Request):
    """`POST /compress`."""

    texts: Annotated[list[Text], Field(min_length=1)]


def completion(name: str, model: str, text: str, end: Written, prompt_tokens: int) -> dict[str, Any]:
    """A whole chat completion."""
    message = {"role": "assistant", "content": text, "refusal": None}
    choice = {"index": 0, "message": message, "finish_reason": _reason(end), "logprobs": None}
    head = _head(name, model, "chat.completion")
    return head | {"choices": [choice], "usage": _usage(prompt_tokens, end), "clara": sources(end)}


def chunk(name: str, model: str, delta: dict[str, str], end: Written | None = None) -> dict[str, Any]:
    """A piece of a streamed completion; the last one says why it ended and what was read."""
    choice = {"index": 0, "delta": delta, "finish_reason": _reason(end) if end else None, "logprobs": None}
    return (
        _head(name, model, "chat.completion.chunk") | {"choices": [choice]} | ({"clara": sources(end)} if end else {})
    )


def usage_chunk(name: str, model: str, end: Written, prompt_tokens: int) -> dict[str, Any]:
    """The piece with the token counts, where the client asked for it."""
    return _head(name, model, "chat.completion.chunk") | {"choices": [], "usage": _usage(prompt_tokens, end)}


def sources(end: Written) -> dict[str, Any]:
    """Passages that an answer was written from, and the time that each part took."""
    found = end.selection
    scores: list[float | None] = [*found.scores] or [None] * len(found.documents)
    read = [
        {"id": document_id(text), "document": text, "score": score}
        for text, score in zip(found.documents, scores, strict=True)
    ]
    seconds = {"reasoner": found.reasoner_seconds, "search": found.search_seconds, "generation": end.generation_seconds}
    sure = {"probability": found.sure.probability, "known": found.sure.enough} if found.sure else {}
    return {"documents": read, "seconds": seconds} | sure


def memories(found: Tensor) -> dict[str, Any]:
    """Memory vectors as base64 of little-endian float32, in C order."""
    data = base64.b64encode(found.float().contiguous().numpy().astype("<f4").tobytes()).decode("ascii")
    return {"shape": list(found.shape), "dtype": "float32", "data": data}


def refusal(message: str, kind: str, code: str | None = None) -> dict[str, Any]:
    """An error as OpenAI's clients read it."""
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def _head(name: str, model: str, kind: str) -> dict[str, Any]:
    return {"id": name, "object": kind, "created": int(time.time()), "model": model}


def _reason(end: Written) -> str:
    return "length" if end.cut else "stop"


def _usage(prompt_tokens: int, end: Written) -> dict[str, int]:
    total = prompt_tokens + end.tokens
    return {"prompt_tokens": prompt_tokens, "completion_tokens": end.tokens, "total_tokens": total}
