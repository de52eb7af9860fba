"""A judge of answers behind an OpenAI-compatible server, whose replies are kept so that none is paid for twice."""

import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any

import openai

from clara.errors import ResourceError
from clara.files import append_lines, text_id
from clara.measurements.grounding import Verdict
from clara.progress import Progress
from clara.prompts import render_chat
from clara.records import Prediction

AT_ONCE = 8
MAX_TOKENS = 200
ATTEMPTS = 5


class ServedJudge:
    """Asks a model twice an answer: what of it the documents support, and what of it the gold answer says.

    Args:
        base_url: the server; its key is read from $OPENAI_API_KEY.
        model: name under which the server knows the model.
        replies: file in which replies are kept, by hash of what was asked; None keeps none.
    """

    def __init__(self, base_url: str, model: str, *, replies: Path | None) -> None:
        self.name = model
        self._url = base_url
        key = os.environ.get("OPENAI_API_KEY", "none")
        self._client = openai.OpenAI(base_url=base_url, api_key=key, max_retries=ATTEMPTS)
        self._file = replies
        self._kept = _read(replies)
        self._writing = Lock()

    def judge(self, answers: Sequence[tuple[Prediction, list[str]]]) -> list[Verdict]:
        """A verdict on each answer.

        Raises:
            ResourceError: the server does not answer or refuses.
        """
        chats = [chat for answer in answers for chat in _chats(*answer)]
        found: list[str] = []
        with ThreadPoolExecutor(AT_ONCE) as pool, Progress("judging", total=len(chats), unit="replies") as progress:
            for text in pool.map(self._reply, chats):  # a failed one ends the loop, and no more are asked
                found.append(text)
                progress.update(len(found))
        counts = [_numbers(text) for text in found]
        return [
            Verdict(_faithfulness(first), _correctness(second))
            for first, second in zip(counts[::2], counts[1::2], strict=True)
        ]

    def _reply(self, chat: list[tuple[str, str]]) -> str:
        if (kept := self._kept.get(self._key(chat))) is not None:
            return kept
        messages: Any = [{"role": role, "content": text} for role, text in chat]
        try:
            answer = self._client.chat.completions.create(
                model=self.name, messages=messages, temperature=0.0, max_tokens=MAX_TOKENS
            )
        except openai.OpenAIError as error:
            raise ResourceError(
                f"the judge {self.name} at {self._url} did not answer ({' '.join(str(error).split())}); start it, mend "
                "measurements.grounding.judge or set $OPENAI_API_KEY"
            ) from error
        text = answer.choices[0].message.content or ""
        self._keep(chat, text)
        return text

    def _key(self, chat: list[tuple[str, str]]) -> str:
        return text_id(json.dumps([self._url, self.name, chat]))

    def _keep(self, chat: list[tuple[str, str]], text: str) -> None:
        """At once, by the thread that got it: it is paid for, whatever becomes of the others."""
        key = self._key(chat)
        with self._writing:
            self._kept[key] = text
            if self._file is not None:
                self._file.parent.mkdir(parents=True, exist_ok=True)
                append_lines(self._file, [json.dumps({"key": key, "reply": text})])


def _chats(row: Prediction, documents: Sequence[str]) -> list[list[tuple[str, str]]]:
    answer = row.prediction or ""
    read = "\n\n".join(documents)
    return [
        render_chat("grounding_faithful", documents=read, question=row.question, answer=answer),
        render_chat("grounding_correct", reference=row.golden_answers[0], question=row.question, answer=answer),
    ]


def _read(file: Path | None) -> dict[str, str]:
    kept = {}
    if file is not None and file.exists():
        for line in file.read_bytes().split(b"\n"):
            with suppress(ValueError):  # a kill can leave half a line
                entry = json.loads(line)
                kept[entry["key"]] = entry["reply"]
    return kept


def _numbers(text: str) -> dict[str, int]:
    """The counts in the reply's JSON object; none where there is no such object."""
    start, end = text.find("{"), text.rfind("}")
    try:
        value = json.loads(text[start : end + 1])
    except ValueError:
        return {}
    if not isinstance(value, dict):
        return {}
    return {key: number for key, number in value.items() if type(number) is int and number >= 0}


def _faithfulness(counts: dict[str, int]) -> float | None:
    statements, supported = counts.get("statements"), counts.get("supported")
    if statements is None or supported is None or supported > statements:
        return None
    return supported / statements if statements else 0.0


def _correctness(counts: dict[str, int]) -> float | None:
    if not {"agreed", "added", "missing"} <= counts.keys():
        return None
    agreed, wrong = counts["agreed"], counts["added"] + counts["missing"]
    return 2 * agreed / (2 * agreed + wrong) if agreed else 0.0
