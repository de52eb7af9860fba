"""What a server understands beyond plain chat completions, learnt from what it refuses."""

import json
import re
from typing import Any

from clara.synthesis.engine import Request
from clara.tokens import folded

NAMED = {
    "beginning": re.compile(r"continue_final|add_generation_prompt|prefill|(?:last|final) (?:message|role)", re.I),
    "choices": re.compile(r"structured_outputs|guided_choice", re.I),
    "schema": re.compile(r"response_format|json_schema", re.I),
    "system": re.compile(
        r"system (?:role|message|prompt)|role[^.]{0,40}system|roles must alternate|only user and", re.I
    ),
}
"""What a request may hold, and how a refusal names it."""


class Dialect:
    """Bodies of requests, without what the server has refused so far.

    Beginning and choices are asked for in vLLM's way. A server that knows neither gets on with the prompt alone, which
    asks for the same form, and what comes back is checked like any other reply. Threads share a dialect: they only add.
    """

    def __init__(self, model: str) -> None:
        self._model = model
        self._refused: set[str] = set()

    def body(self, request: Request) -> tuple[dict[str, Any], frozenset[str]]:
        """What is sent for a request, and which parts stand in it that a server may not know."""
        parts = {
            "beginning": bool(request.beginning),
            "choices": bool(request.choices),
            "schema": request.schema is not None,
            "system": request.messages[0].role == "system",
        }
        used = frozenset(name for name, there in parts.items() if there) - self._refused
        turns = request.messages if "system" in used else folded(request.messages)
        messages = [{"role": role, "content": content} for role, content in turns]
        sampling = request.sampling
        body: dict[str, Any] = {
            "model": self._model,
            "messages": messages,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_tokens,
            "seed": sampling.seed,
        }
        if "beginning" in used:
            messages.append({"role": "assistant", "content": request.beginning})
            body |= {"continue_final_message": True, "add_generation_prompt": False}
        if "choices" in used:
            body["structured_outputs"] = {"choice": list(request.choices)}
        elif "schema" in used and request.schema is not None:
            schema = {"name": "reply", "schema": json.loads(request.schema)}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        return body, used

    def learn(self, refusal: str, used: frozenset[str]) -> bool:
        """Whether a refusal names something that stood in the request; it is left out from now on."""
        named = {name for name in used if NAMED[name].search(refusal)}
        self._refused |= named
        return bool(named)


def whole(content: str, request: Request, used: frozenset[str]) -> str:
    """The reply with its beginning, which servers leave out or repeat; one that was not sent is not added."""
    if "beginning" not in used or content.lstrip().startswith(request.beginning.strip()):
        return content
    return request.beginning + content
