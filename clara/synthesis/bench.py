"""How fast the engines answer the same requests: one by one, in batches by length, and vLLM where it runs."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from clara.model.vllm_door import obstacle
from clara.records import Passage
from clara.synthesis import requests
from clara.synthesis.engine import Request, TextEngine, choose
from clara.synthesis.passages import spread
from clara.synthesis.requests import Drawing

QUESTIONS = 3
GREEDY = Drawing(temperature=0.0, top_p=1.0, max_new_tokens=64, seed=0)


class Speed(NamedTuple):
    """What one way of asking took, the engine's start apart."""

    way: str
    requests: int
    prompt_tokens: int
    reply_tokens: int
    start_seconds: float
    seconds: float
    times_one_by_one: float
    """Seconds of the first way over these."""


def passages_asked(passages: Sequence[Passage], number: int) -> list[Request]:
    """Two requests about each of `number` passages: for questions, and for the answer to one."""
    asked: list[Request] = []
    for passage in spread(list(passages), number):
        asked.append(requests.first_questions(passage.document, "simple", QUESTIONS, GREEDY, 0))
        asked.append(requests.answer(passage.document, f"What is known about {passage.title}?", GREEDY))
    return asked


def measure(folder: Path, asked: Sequence[Request], *, dtype: str) -> list[Speed]:
    """The speeds of all ways that run on this machine, the plain loop first.

    Args:
        folder: the model.
        asked: what every way is asked.
        dtype: precision.
    """

    def start(name: str) -> Callable[[], TextEngine]:
        return lambda: choose(name, folder, dtype=dtype, identity="bench", base_url=None)  # type: ignore[arg-type]

    ways = [
        ("one by one, transformers", start("transformers"), 1),
        ("by length, transformers", start("transformers"), 0),
    ]
    if obstacle(folder) is None:
        ways.append(("vllm in process", start("vllm"), 0))
    found: list[Speed] = []
    for way, starting, at_once in ways:
        found.append(_speed(way, starting, asked, at_once or len(asked), found[0].seconds if found else None))
    return found


def table(speeds: Sequence[Speed]) -> str:
    """The speeds as Markdown."""
    lines = [
        "| way | requests | reply tokens | start, s | seconds | reply tokens/s | times one by one |",
        "|---|" + "--:|" * 6,
    ]
    for row in speeds:
        rate = row.reply_tokens / row.seconds
        cells = [f"{value:.1f}" for value in (row.start_seconds, row.seconds, rate, row.times_one_by_one)]
        lines.append(f"| {row.way} | {row.requests} | {row.reply_tokens} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _speed(
    way: str, start: Callable[[], TextEngine], asked: Sequence[Request], at_once: int, plain: float | None
) -> Speed:
    began = time.monotonic()
    engine = start()
    ready = time.monotonic()
    prompt_tokens = reply_tokens = 0
    for first in range(0, len(asked), at_once):
        group = asked[first : first + at_once]
        for number, request in enumerate(group):
            engine.submit(str(first + number), request)
        done = 0
        while done < len(group):
            for _, reply in engine.collect():
                done += 1
                prompt_tokens += reply.prompt_tokens
                reply_tokens += reply.reply_tokens
    seconds = time.monotonic() - ready
    engine.close()
    return Speed(way, len(asked), prompt_tokens, reply_tokens, ready - began, seconds, (plain or seconds) / seconds)
