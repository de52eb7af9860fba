"""An engine that answers from a function: for tests and rehearsals, without any model."""

from collections.abc import Callable

from clara.synthesis.engine import Reply, Request

Script = Callable[[Request], str | Reply]


class ScriptedEngine:
    """Replies made by `script`; the latest request is answered first, so that nothing may rest on the order."""

    name = "scripted"

    def __init__(self, script: Script, *, capacity: int = 4, model: str = "script") -> None:
        self.model = model
        self.capacity = capacity
        self.requests: list[Request] = []
        self._script = script
        self._waiting: list[tuple[str, Request]] = []

    def submit(self, key: str, request: Request) -> None:
        """Notes the request."""
        self.requests.append(request)
        self._waiting.append((key, request))

    def collect(self) -> list[tuple[str, Reply]]:
        """The reply to the latest open request."""
        if not self._waiting:
            return []
        key, request = self._waiting.pop()
        answer = self._script(request)
        if isinstance(answer, str):
            words = sum(len(message.content.split()) for message in request.messages)
            answer = Reply(text=answer, finish_reason="stop", prompt_tokens=words, reply_tokens=len(answer.split()))
        return [(key, answer)]

    def close(self) -> None:
        """Nothing to give back."""
