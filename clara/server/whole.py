"""Refuses texts that would not be read to their end: what a client sends is never cut."""

from collections.abc import Sequence

from clara.server.explore import Served
from clara.server.wire import BadRequest


def require_question(systems: Sequence[Served], question: str) -> None:
    """Refuses a question that a query reasoner does not read whole.

    Raises:
        BadRequest: it has more tokens than one of them reads.
    """
    for system in systems:
        if system.model.model.has_query_reasoner and _long(system, [question]):
            raise BadRequest(
                f"expected a question of at most {_limit(system)} tokens, got {_count(system, question)}; cut it"
            )


def require_documents(served: Served, texts: Sequence[str], *, stored: bool) -> None:
    """Refuses documents that the compressor does not read whole.

    Args:
        served: the model and its store.
        texts: the documents.
        stored: those that the store holds are not compressed, and may have any length.

    Raises:
        BadRequest: one has more tokens than the compressor reads; says which.
    """
    long = _long(served, texts)
    held = served.store.numbers([texts[number] for number in long]) if stored and long else [None] * len(long)
    for number, row in zip(long, held, strict=True):
        if row is None:
            raise BadRequest(
                f"expected texts of at most {_limit(served)} tokens, got {_count(served, texts[number])} in text "
                f"{number}; split it"
            )


def _limit(served: Served) -> int:
    return served.model.model.tokens.document_max_tokens


def _count(served: Served, text: str) -> int:
    return len(served.model.model.tokens.text(text))


def _long(served: Served, texts: Sequence[str]) -> list[int]:
    """Numbers of the texts that the compressor would cut."""
    return [number for number, text in enumerate(texts) if _count(served, text) > _limit(served)]
