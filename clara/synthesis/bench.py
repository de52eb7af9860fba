"""How fast the same requests are answered: by a plain loop over `generate`, and by the engines, alone and together."""

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from clara.model.vllm_door import obstacle
from clara.records import Passage
from clara.synthesis import requests
from clara.synthesis.engine import Reply, Request, TextEngine, choose
from clara.synthesis.engine_generate import GenerateLoop
from clara.synthesis.passages import spread
from clara.synthesis.requests import Drawing

QUESTIONS = 3
ASKED = ("What is {} known for?", "When is {} first mentioned?", "Who is named together with {}?")
GREEDY = Drawing(temperature=0.0, top_p=1.0, max_new_tokens=64, seed=0)


class Speed(NamedTuple):
    """What one way of asking took, the engine's start apart."""

    way: str
    requests: int
    prompt_tokens: int
    reply_tokens: int
    start_seconds: float
    seconds: float
    times_the_loop: float
    """Seconds of the first way over these."""
    same_replies: int
    """Replies whose text is that of the first way."""


def passages_asked(passages: Sequence[Passage], number: int) -> list[list[Request]]:
    """What a first round asks about each of `number` passages, in its three steps, each of which awaits the one before.

    Questions; answers to three questions; judgements of three pairs. Questions and pairs are fixed, so that every way
    is asked the same.
    """
    steps: list[list[Request]] = [[], [], []]
    for passage in spread(list(passages), number):
        document = passage.document
        steps[0].append(requests.first_questions(document, "simple", QUESTIONS, GREEDY, 0))
        for question in (text.format(passage.title) for text in ASKED):
            answer = " ".join(passage.text.split()[:4])
            steps[1].append(requests.answer(document, question, GREEDY))
            steps[2].append(requests.validation(document, question, answer, GREEDY))
    return steps


def measure(folder: Path, asked: Sequence[Sequence[Request]], *, dtype: str) -> list[Speed]:
    """The speeds of all ways that run on this machine, the plain loop first.

    Args:
        folder: the model.
        asked: what every way is asked, in steps.
        dtype: precision.
    """

    def start(name: str) -> Callable[[], TextEngine]:
        return lambda: choose(name, folder, dtype=dtype, identity="bench", base_url=None)  # type: ignore[arg-type]

    ways: list[tuple[str, Callable[[], TextEngine], bool]] = [
        ("loop over generate of transformers", lambda: GenerateLoop(folder, dtype=dtype), False),
        ("one by one, engine transformers", start("transformers"), False),
        ("together, engine transformers", start("transformers"), True),
    ]
    if obstacle(folder) is None:
        ways.append(("together, engine vllm", start("vllm"), True))
    found: list[Speed] = []
    first: dict[str, str] = {}
    for way, starting, together in ways:
        began = time.monotonic()
        engine = starting()
        ready = time.monotonic()
        replies = _ask(engine, asked, together=together)
        seconds = time.monotonic() - ready
        engine.close()
        first = first or {key: reply.text for key, reply in replies.items()}
        speed = Speed(
            way,
            len(replies),
            sum(reply.prompt_tokens for reply in replies.values()),
            sum(reply.reply_tokens for reply in replies.values()),
            ready - began,
            seconds,
            (found[0].seconds if found else seconds) / seconds,
            sum(reply.text.strip() == first[key].strip() for key, reply in replies.items()),
        )
        print(f"bench: {way}: {seconds:.1f} s, {speed.times_the_loop:.1f} times the loop", file=sys.stderr)
        found.append(speed)
    return found


def table(speeds: Sequence[Speed]) -> str:
    """The speeds as Markdown."""
    lines = [
        "| way | requests | prompt tokens | reply tokens | start, s | seconds | requests/s | times the loop | same |",
        "|---|" + "--:|" * 8,
    ]
    for row in speeds:
        counts = f"{row.requests} | {row.prompt_tokens} | {row.reply_tokens}"
        cells = [f"{row.start_seconds:.1f}", f"{row.seconds:.1f}", f"{row.requests / row.seconds:.2f}"]
        cells += [f"{row.times_the_loop:.1f}", str(row.same_replies)]
        lines.append(f"| {row.way} | {counts} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _ask(engine: TextEngine, steps: Sequence[Sequence[Request]], *, together: bool) -> dict[str, Reply]:
    replies: dict[str, Reply] = {}
    number = 0
    for step in steps:
        for group in [step] if together else [[request] for request in step]:
            for request in group:
                engine.submit(str(number), request)
                number += 1
            while len(replies) < number:
                replies |= dict(engine.collect())
    return replies
