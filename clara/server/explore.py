"""What the Explorer page shows of one question: candidates, answers from memories, text and nothing, added words."""

import time
from typing import Any

from clara.evaluation.diagnostics import lens_words
from clara.model.adapters import NO_ADAPTER
from clara.model.generator import generate
from clara.model.store import MemoryStore
from clara.serving import Clara

CANDIDATES = 20
"""Passages shown, as many as a question's pool has in the paper."""


def explore(model: Clara, store: MemoryStore, question: str, *, k: int, max_new_tokens: int) -> dict[str, Any]:
    """The answer to a question, and beside it all that explains it, as JSON."""
    started = time.perf_counter()
    hits = model.search([question], store=store, k=max(CANDIDATES, k))[0]
    chosen = [hit.document for hit in hits[:k]]
    found = model.find([question], store=store, k=k)
    texts: list[str] = []
    model.write([question], found, max_new_tokens=[max_new_tokens], on_text=lambda row, text: texts.append(text))
    words = lens_words(model.model, model.reason([question])[0])
    return {
        "question": question,
        "candidates": [hit._asdict() for hit in hits],
        "selected": k,
        "answers": {
            "memories": "".join(texts),
            "text": _plain(model, question, chosen, max_new_tokens),
            "nothing": _plain(model, question, None, max_new_tokens),
        },
        "words": [word for word in words if word.lower() not in question.lower()],
        "seconds": time.perf_counter() - started,
    }


def _plain(model: Clara, question: str, documents: list[str] | None, max_new_tokens: int) -> str:
    """The answer of the language model without any adapter, from raw text or from nothing."""
    clara = model.model
    prompt = clara.tokens.answer_prompt(question, documents)
    with clara.adapters.using(NO_ADAPTER):
        return generate(clara.backbone, None, [prompt], None, clara.added, max_new_tokens=max_new_tokens)[0]
