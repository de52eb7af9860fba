"""A checkpoint that finds documents for questions: among candidates that are given, or in a store."""

import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float, Int
from torch import Tensor

from clara.errors import CheckpointError, DataError
from clara.evaluation.answerable import NEXT, Calibration
from clara.folders import put_back
from clara.model.adapters import COMPRESSOR, QUERY_REASONER
from clara.model.answers import Hit, Selected
from clara.model.calls import (
    require_candidates,
    require_count,
    require_memories,
    require_read,
    require_texts,
    warn_of_cut,
)
from clara.model.checkpoint import LoadedCheckpoint
from clara.model.encoding import encode_texts
from clara.model.search import INDEX, Found, Index, exact
from clara.model.store import MANIFEST, MemoryStore
from clara.model.store_search import StoreSearch
from clara.records import Passage

BATCH_TOKENS = 4096


class Retriever:
    """Compressor and, after joint training, query reasoner of a checkpoint."""

    def __init__(self, loaded: LoadedCheckpoint, calibration: Calibration | None = None) -> None:
        self.loaded = loaded
        self.calibration = calibration
        """Says which questions a store is unlikely to answer; they get `UNKNOWN`, and nothing is generated."""
        self.model = loaded.model
        self.card = loaded.card
        self.compressor_hash = loaded.compressor_hash
        self._searches: WeakKeyDictionary[MemoryStore, StoreSearch] = WeakKeyDictionary()
        self._last: MemoryStore | None = None

    def compress(self, texts: Sequence[str]) -> Float[Tensor, "documents memory dim"]:
        """Memories of documents (`Title\\nText`), each cut to `document_max_tokens` tokens; a `CutWarning` tells it."""
        return self._encoded(
            require_texts(texts, "compress"), COMPRESSOR, "documents", advice="split them, as `clara compress` does"
        )

    def reason(self, questions: Sequence[str]) -> Float[Tensor, "questions memory dim"]:
        """Query memories, in the documents' space; long questions are cut as `compress` does.

        Raises:
            CheckpointError: this checkpoint has no query reasoner.
        """
        if not self.model.has_query_reasoner:
            raise CheckpointError(
                f"the {self.card.stage} checkpoint has no query reasoner; load one of joint training, or pass at most "
                "k documents a question"
            )
        return self._encoded(require_texts(questions, "reason"), QUERY_REASONER, "questions", advice="shorten them")

    def _encoded(self, texts: Sequence[str], role: str, what: str, *, advice: str) -> Tensor:
        tokens = self.model.tokens
        inputs = [tokens.to_compress(text) for text in texts]
        warn_of_cut(inputs, max_tokens=tokens.document_max_tokens, what=what, advice=advice)
        with self.model.adapters.in_turn(role):
            return encode_texts(self.model, inputs, batch_tokens=BATCH_TOKENS, role=role)

    def score(
        self, query_memories: Float[Tensor, "questions memory dim"], document_memories: Float[Tensor, "docs memory dim"]
    ) -> Float[Tensor, "questions docs"]:
        """Score of every question with every document: the checkpoint's own form, cosine or late interaction."""
        require_memories(query_memories, document_memories)
        documents = self.model.compared(document_memories)[None]
        return torch.cat([self.model.compare(question[None], documents) for question in query_memories])

    def select(self, scores: Float[Tensor, "questions docs"], k: int) -> Int[Tensor, "questions k"]:
        """Indices of the k best documents of each question, best first; among equals the first."""
        return torch.sort(scores, dim=-1, descending=True, stable=True).indices[:, : require_count(k, "k")]

    def find(
        self,
        questions: Sequence[str],
        *,
        documents: Sequence[Sequence[str]] | None = None,
        store: MemoryStore | str | Path | None = None,
        k: int = 5,
    ) -> list[Selected]:
        """What `answer` reads, without the answer: for a generator of one's own, or for `write`."""
        require_texts(questions, "answer")
        require_read(k)
        opened = None if store is None else self._opened(store)
        if documents is not None:
            return self._choose_given(questions, documents, opened, k)
        if opened is None:
            raise DataError("answer needs documents= (candidates of each question), store=, or both; pass one")
        return self._search(questions, opened, k)

    def search(self, questions: Sequence[str], *, store: MemoryStore | str | Path, k: int = 5) -> list[list[Hit]]:
        """The k best passages of each question, best first; nothing is generated.

        Raises:
            CheckpointError: there is no query reasoner, or the store is of another compressor.
        """
        require_count(k, "k")
        opened = self._opened(store)
        found = self._rows(self.reason(questions), opened, k)
        passages = _passages(opened, found.rows.tolist())
        return [
            [Hit(row.id, row.title, row.text, round(score, 6)) for row, score in zip(read, scores, strict=True)]
            for read, scores in zip(passages, found.scores.tolist(), strict=True)
        ]

    def _choose_given(
        self, questions: Sequence[str], documents: Sequence[Sequence[str]], store: MemoryStore | None, k: int
    ) -> list[Selected]:
        require_candidates(questions, documents)
        started = time.perf_counter()
        memories = self._memories(list(dict.fromkeys(text for texts in documents for text in texts)), store)
        compressed = time.perf_counter()
        if all(len(candidates) <= k for candidates in documents) and not self.model.has_query_reasoner:
            took = compressed - started
            return [Selected(list(texts), [], [memories[text] for text in texts], 0.0, took) for texts in documents]
        queries = self.reason(questions)
        seconds = (time.perf_counter() - compressed, compressed - started)
        chosen = []
        for query, texts in zip(queries, documents, strict=True):
            if not texts:
                chosen.append(Selected([], [], [], *seconds))
                continue
            scores = self.score(query[None], torch.stack([memories[text] for text in texts]))
            best = self.select(scores, k)[0].tolist()
            values = [float(scores[0, i]) for i in best]
            chosen.append(Selected([texts[i] for i in best], values, [memories[texts[i]] for i in best], *seconds))
        return chosen

    def _memories(self, texts: Sequence[str], store: MemoryStore | None) -> dict[str, Tensor]:
        """The memory of each text: the store's where it holds that very text, else compressed."""
        found = dict[str, Tensor]()
        if store is not None and texts:
            store.require(self.compressor_hash)
            held = {text: row for text, row in zip(texts, store.numbers(texts), strict=True) if row is not None}
            if held:
                # Beside memories that are compressed here: of their precision, whatever the store keeps.
                found = dict(zip(held, store.rows(list(held.values())).to(self.model.backbone.dtype), strict=True))
        if others := [text for text in texts if text not in found]:
            found |= zip(others, self.compress(others), strict=True)
        return found

    def _search(self, questions: Sequence[str], store: MemoryStore, k: int) -> list[Selected]:
        started = time.perf_counter()
        queries = self.reason(questions)
        reasoned = time.perf_counter()
        fitted = self.calibration
        found = self._rows(queries, store, max(k, NEXT + 1) if fitted else k)
        rows, scores = found.rows[:, :k].tolist(), found.scores.tolist()
        texts = [[passage.document for passage in read] for read in _passages(store, rows)]
        memories = [list(store.rows(best)) for best in rows]
        seconds = (reasoned - started, time.perf_counter() - reasoned)
        return [
            Selected(read, all_scores[:k], vectors, *seconds, fitted.sure(all_scores) if fitted else None)
            for read, all_scores, vectors in zip(texts, scores, memories, strict=True)
        ]

    def _opened(self, store: MemoryStore | str | Path) -> MemoryStore:
        """The store; of a path it stays open, with what a search keeps of it, until another is named or it changes."""
        if isinstance(store, MemoryStore):
            return store
        if not isinstance(store, str | Path):
            raise DataError(f"store = {store!r:.60} is no store, nor the path of one; name its folder or manifest.json")
        path = Path(store)
        put_back(path)
        path = path / MANIFEST if path.is_dir() else path
        last = self._last  # another thread may name another store meanwhile
        if last is None or last.path != path or not last.unchanged:
            last = self._last = MemoryStore(path)
        return last

    def _rows(self, queries: Tensor, store: MemoryStore, k: int) -> Found:
        store.require(self.compressor_hash)
        queries = queries.float()
        if self.card.shape.score != "flattened" or self.model.document_map is not None:
            if store not in self._searches:
                self._searches[store] = StoreSearch(self.model, store)
            return self._searches[store].search(store, queries, k=k)
        # The index approximates the cosine: with one a store is searched in two stages, any other as a whole.
        return Index(store).search(queries, k=k) if (store.folder / INDEX).exists() else exact(store, queries, k=k)


def _passages(store: MemoryStore, rows: Sequence[Sequence[int]]) -> list[list[Passage]]:
    """The passages of each question, read together: questions of a batch often find the same ones."""
    read = iter(store.passages([row for found in rows for row in found]))
    return [list(islice(read, len(found))) for found in rows]
