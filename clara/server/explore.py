"""What the Explorer page shows of one question: candidates, answers from memories, text and nothing, added words."""

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from clara.evaluation.diagnostics import lens_words
from clara.model.adapters import NO_ADAPTER
from clara.model.generator import generate
from clara.model.store import MemoryStore
from clara.serving import Clara

CANDIDATES = 20
"""Passages shown, as many as a question's pool has in the paper."""


class Served(NamedTuple):
    """A model and the store that it searches."""

    name: str
    model: Clara
    store: MemoryStore
    k: int
    """Passages read where a request does not say."""


def explore(systems: Sequence[Served], question: str, *, k: int, max_new_tokens: int) -> dict[str, Any]:
    """What each system answers to a question and why, and the first one's language model without memories, as JSON."""
    started = time.perf_counter()
    told = [_told(system, question, k, max_new_tokens) for system in systems]
    first = systems[0].model
    read = [f"{hit['title']}\n{hit['text']}".strip() for hit in told[0]["candidates"][:k]]
    return {
        "question": question,
        "systems": told,
        "text": _plain(first, question, read, max_new_tokens),
        "nothing": _plain(first, question, None, max_new_tokens),
        "seconds": time.perf_counter() - started,
    }


def _told(system: Served, question: str, k: int, max_new_tokens: int) -> dict[str, Any]:
    model = system.model
    hits = model.search([question], store=system.store, k=max(CANDIDATES, k))[0]
    found = model.find([question], store=system.store, k=k)
    texts: list[str] = []
    model.write([question], found, max_new_tokens=[max_new_tokens], on_text=lambda row, text: texts.append(text))
    words = lens_words(model.model, model.reason([question])[0])
    return {
        "name": system.name,
        "vectors": model.card.shape.num_memory,
        "candidates": [hit._asdict() for hit in hits],
        "selected": len(found[0].documents),
        "probability": found[0].sure.probability if found[0].sure else None,
        "answer": "".join(texts),
        "words": [word for word in words if word.lower() not in question.lower()],
    }


def _plain(model: Clara, question: str, documents: list[str] | None, max_new_tokens: int) -> str:
    """The answer of the language model without any adapter, from raw text or from nothing."""
    clara = model.model
    prompt = clara.tokens.answer_prompt(question, documents)
    with clara.adapters.in_turn(NO_ADAPTER):
        return generate(clara.backbone, None, [prompt], None, clara.added, max_new_tokens=max_new_tokens)[0]
