"""BM25 by bm25s: English stems, stop words left out, equal scores in the order of the documents."""

import math
import sys
from collections import Counter
from collections.abc import Sequence
from importlib import import_module
from typing import Any

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
        self._k1, self._b = k1, b
        self._mean_length = sum(map(len, tokens)) / len(tokens)
        if not self._empty:
            self._index = bm25s.BM25(k1=k1, b=b, method="lucene", backend="numpy")
            self._index.index(tokens, show_progress=False)

    def scores(self, question: str) -> "numpy.ndarray[Any, numpy.dtype[numpy.float32]]":
        """The score of each document; 0 where it shares no word with the question."""
        words = [] if self._empty else [word for word in self._tokens([question])[0] if word in self._index.vocab_dict]
        if not words:
            return numpy.zeros(self.num_documents, dtype=numpy.float32)
        return numpy.asarray(self._index.get_scores(words), dtype=numpy.float32)

    def scores_of(self, question: str, documents: Sequence[str]) -> list[float]:
        """The score that each of these documents has, or were it in the index would have, by the index' statistics."""
        words = Counter(word for word in self._tokens([question])[0] if not self._empty and self._frequency(word))
        scores = []
        for document in self._tokens(list(documents)):
            counts = Counter(document)
            damping = self._k1 * (1 - self._b + self._b * len(document) / self._mean_length) if words else 1.0
            scores.append(
                sum(times * self._rarity(word) * counts[word] / (counts[word] + damping)
                    for word, times in words.items() if counts[word])
            )  # fmt: skip
        return scores

    def _frequency(self, word: str) -> int:
        """Documents of the index that hold a stem."""
        column = self._index.vocab_dict.get(word)
        starts = self._index.scores["indptr"]
        return 0 if column is None else int(starts[column + 1] - starts[column])

    def _rarity(self, word: str) -> float:
        """Inverse document frequency, as Lucene has it."""
        holding = self._frequency(word)
        return math.log(1 + (self.num_documents - holding + 0.5) / (holding + 0.5))

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
