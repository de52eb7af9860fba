"""Passages of a corpus: whole sentences, about so many words, never more tokens than the compressor reads."""

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

from clara.data.dump import Article, read_articles
from clara.data.packing import LARGEST, Piece, pack, split_to_fit
from clara.data.sentences import sentences
from clara.data.tally import Tally
from clara.data.tokenization import TokenCounter
from clara.errors import DataError
from clara.records import Passage, document_id, document_text

BATCH = 512
"""Passages whose tokens are counted together."""


class Limits(NamedTuple):
    """How large passages are and how many are kept."""

    words: int
    """Words that a passage aims at."""
    per_article: int | None
    """Passages kept of an article, from its start; null keeps all."""
    max_articles: int | None
    """Articles read, from the start; null reads all."""
    max_tokens: int
    """Tokens of a document, title included, at most."""


class Draft(NamedTuple):
    """A title and its pieces, before their tokens are counted."""

    title: str
    pieces: list[Piece]


def split_passages(dump: Path, *, kind: str, limits: Limits, counter: TokenCounter, tally: Tally) -> Iterator[Passage]:
    """The passages of a corpus file, in its order, each text once.

    Args:
        dump: the corpus file.
        kind: its format, as `read_articles` takes it.
        limits: sizes and numbers.
        counter: counts the backbone's tokens.
        tally: counts what was kept and dropped.

    Raises:
        DataError: the corpus cannot be read, or nothing of it is left.
    """
    seen: set[str] = set()
    articles = islice(read_articles(dump, kind, tally.articles_dropped), limits.max_articles)
    for draft in _batches(articles, limits, tally):
        for passage, tokens in _fitted(draft, limits, counter, tally):
            if passage.id in seen:
                tally.passages_dropped["duplicate"] += 1
                continue
            seen.add(passage.id)
            tally.words.append(len(passage.text.split()))
            tally.tokens.append(tokens)
            yield passage
    if not seen:
        raise DataError(
            f"{dump} gave no passage, dropped articles: {dict(tally.articles_dropped)}; check corpus.source"
        )


def _batches(articles: Iterable[Article], limits: Limits, tally: Tally) -> Iterator[list[Draft]]:
    batch: list[Draft] = []
    for article in articles:
        draft = _draft(article, limits, tally)
        if draft is None:
            tally.articles_dropped["no_prose"] += 1
            continue
        tally.articles_kept += 1
        batch.append(draft)
        if sum(len(each.pieces) for each in batch) >= BATCH:
            yield batch
            batch = []
    yield batch


def _draft(article: Article, limits: Limits, tally: Tally) -> Draft | None:
    """The first pieces of an article; null where it has no prose."""
    start = list(islice(article.paragraphs, 2))
    if len(start) == 1 and len(start[0].split()) <= LARGEST * limits.words:
        # A text that is a passage already stays as it is, spaces included.
        return Draft(article.title, [[start[0].strip()]])
    parts = (sentence for paragraph in chain(start, article.paragraphs) for sentence in sentences(paragraph))
    most = None if limits.per_article is None else limits.per_article + 1
    pieces = list(islice(pack(parts, limits.words), most))
    if limits.per_article is not None and len(pieces) > limits.per_article:
        tally.articles_shortened += 1
        del pieces[limits.per_article :]
    return Draft(article.title, pieces) if pieces else None


def _fitted(drafts: list[Draft], limits: Limits, counter: TokenCounter, tally: Tally) -> Iterator[tuple[Passage, int]]:
    """The passages of some articles with their tokens, split where a document is too long."""
    documents = [document_text(draft.title, " ".join(piece)) for draft in drafts for piece in draft.pieces]
    sizes = iter(counter.count(documents))
    for draft in drafts:
        passages: list[tuple[Passage, int]] = []
        for piece in draft.pieces:
            size = next(sizes)
            if size <= limits.max_tokens:
                passages.append((_passage(draft.title, " ".join(piece)), size))
            else:
                passages += _split(draft.title, piece, limits.max_tokens, counter, tally)
        beyond = passages[limits.per_article :] if limits.per_article is not None else []
        tally.passages_dropped.update(beyond_per_article=len(beyond))
        yield from passages[: limits.per_article]


def _split(title: str, piece: Piece, most: int, counter: TokenCounter, tally: Tally) -> list[tuple[Passage, int]]:
    texts = split_to_fit(piece, lambda text: counter.count([document_text(title, text)])[0] <= most)
    if texts is None:
        tally.passages_dropped["title_too_long"] += 1
        return []
    tally.passages_split += 1
    return [(_passage(title, text), counter.count([document_text(title, text)])[0]) for text in texts]


def _passage(title: str, text: str) -> Passage:
    return Passage(id=document_id(document_text(title, text)), title=title, text=text)
