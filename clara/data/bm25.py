"""BM25 by bm25s: English stems, stop words left out, equal scores in the order of the documents."""

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NamedTuple

import numpy
import Stemmer

from clara.errors import DataError


def _without_jax() -> Any:
    """bm25s. It computes something with JAX where that is installed, and JAX takes three quarters of a GPU at once.

    A process that has loaded JAX already has decided that for itself. Another thread's import of JAX fails meanwhile.
    """
    modules: dict[str, Any] = sys.modules
    if "jax" in modules:
        return import_module("bm25s")
    modules["jax"] = None  # its import fails
    try:
        return import_module("bm25s")
    finally:
        del modules["jax"]


bm25s = _without_jax()

STOP_WORDS: frozenset[str] = frozenset(bm25s.stopwords.STOPWORDS_EN)
"""English words that BM25 leaves out."""


class Ranked(NamedTuple):
    """Documents by relevance."""

    ranking: list[int]
    """Indices of the documents, best first."""
    scores: list[float]
    """Score of each document, in the order of the documents."""


class Bm25:
    """An index of documents.

    Args:
        documents: texts; a title counts as text.
        k1: term saturation.
        b: length normalisation.

    Raises:
        DataError: there are no documents.
    """

    def __init__(self, documents: Sequence[str], *, k1: float, b: float) -> None:
        if not documents:
            raise DataError("BM25 needs at least one document and got none; check the corpus")
        self.num_documents = len(documents)
        self._stemmer = Stemmer.Stemmer("english")
        tokens = self._tokens(list(documents))
        self._empty = not any(tokens)
        if not self._empty:
            self._index = bm25s.BM25(k1=k1, b=b, method="lucene", backend="numpy")
            self._index.index(tokens, show_progress=False)

    def scores(self, question: str) -> "numpy.ndarray[Any, numpy.dtype[numpy.float32]]":
        """The score of each document; 0 where it shares no word with the question."""
        words = [] if self._empty else [word for word in self._tokens([question])[0] if word in self._index.vocab_dict]
        if not words:
            return numpy.zeros(self.num_documents, dtype=numpy.float32)
        return numpy.asarray(self._index.get_scores(words), dtype=numpy.float32)

    def best(self, question: str, count: int) -> list[int]:
        """Indices of the `count` best documents, best first; of equal scores the lower index comes first."""
        scores = self.scores(question)
        count = min(count, self.num_documents)
        if count == 0:
            return []
        # Sorting all of a large corpus for each question would cost more than scoring it.
        threshold = numpy.partition(scores, -count)[-count]
        candidates = numpy.flatnonzero(scores >= threshold)
        order = numpy.argsort(-scores[candidates], kind="stable")
        return [int(index) for index in candidates[order][:count]]

    def _tokens(self, texts: list[str]) -> list[list[str]]:
        tokens: list[list[str]] = bm25s.tokenize(
            texts, stopwords="en", stemmer=self._stemmer, return_ids=False, show_progress=False
        )
        return tokens


def rank_documents(question: str, documents: Sequence[str], *, k1: float, b: float) -> Ranked:
    """All of a question's candidates by BM25; document frequencies are those among the candidates."""
    index = Bm25(documents, k1=k1, b=b)
    scores = [round(float(score), 6) for score in index.scores(question)]
    ranking = sorted(range(len(documents)), key=lambda place: (-scores[place], place))
    return Ranked(ranking, scores)
