"""A trained checkpoint for use from Python: `import clara; model = clara.load(folder)`."""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float, Int
from torch import Tensor

from clara.errors import CheckpointError, DataError
from clara.evaluation.answerable import NEXT, Calibration, read_calibration
from clara.files import read_json
from clara.model import checkpoint
from clara.model.adapters import GENERATOR, QUERY_REASONER
from clara.model.answers import UNKNOWN, Answer, Hit, Seconds, Selection
from clara.model.calls import require_candidates, require_count, require_memories, require_read, require_texts
from clara.model.checkpoint import LoadedCheckpoint
from clara.model.compression import compress
from clara.model.generator import generate
from clara.model.search import INDEX, Found, Index, exact
from clara.model.store import MANIFEST, MemoryStore
from clara.model.store_search import StoreSearch
from clara.model.streaming import OnText, pieces, stream

BATCH_TOKENS = 4096


class Clara:
    """A checkpoint of any stage. Later stages serve more: `serves` says what."""

    def __init__(self, loaded: LoadedCheckpoint, calibration: Calibration | None = None) -> None:
        self.loaded = loaded
        self.calibration = calibration
        """Says which questions a store is unlikely to answer; they get `UNKNOWN`, and nothing is generated."""
        self.model = loaded.model
        self.card = loaded.card
        self.compressor_hash = loaded.compressor_hash
        self._searches: WeakKeyDictionary[MemoryStore, StoreSearch] = WeakKeyDictionary()
        self._last: MemoryStore | None = None

    @property
    def serves(self) -> list[str]:
        """The methods that this checkpoint can answer."""
        return methods(self.card.roles)

    def __repr__(self) -> str:
        shape = self.card.shape
        return f"<Clara {self.card.stage}, {shape.num_memory} memories a document; serves {', '.join(self.serves)}>"

    def compress(self, texts: Sequence[str]) -> Float[Tensor, "documents memory dim"]:
        """Memories of documents (`Title\\nText`), each cut to `document_max_tokens` tokens."""
        inputs = [self.model.tokens.to_compress(text) for text in require_texts(texts, "compress")]
        return compress(self.model, inputs, batch_tokens=BATCH_TOKENS)

    def reason(self, questions: Sequence[str]) -> Float[Tensor, "questions memory dim"]:
        """Query memories, in the documents' space.

        Raises:
            CheckpointError: this checkpoint has no query reasoner.
        """
        if not self.model.has_query_reasoner:
            raise CheckpointError(
                f"the {self.card.stage} checkpoint has no query reasoner; load one of joint training, or pass at most "
                "k documents a question"
            )
        inputs = [self.model.tokens.to_compress(text) for text in require_texts(questions, "reason")]
        return compress(self.model, inputs, batch_tokens=BATCH_TOKENS, role=QUERY_REASONER)

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

    def answer(
        self,
        questions: Sequence[str],
        *,
        documents: Sequence[Sequence[str]] | None = None,
        store: MemoryStore | str | Path | None = None,
        k: int = 5,
        max_new_tokens: int = 64,
    ) -> list[Answer]:
        """Answers from memories.

        Args:
            questions: the questions.
            documents: candidates of each question, compressed here; or
            store: a store built by this compressor, or its manifest's path, searched as a whole.
            k: documents that the generator reads, 50 at most.
            max_new_tokens: tokens of an answer at most.

        Raises:
            DataError: neither or both of documents and store are given, counts differ, or what came is no text.
            CheckpointError: more than k candidates but no query reasoner, or a store of another compressor.
        """
        require_count(max_new_tokens, "max_new_tokens")
        return self._answers(questions, self.find(questions, documents=documents, store=store, k=k), max_new_tokens)

    def read(
        self, questions: Sequence[str], documents: Sequence[Sequence[str]], *, max_new_tokens: int = 64
    ) -> list[Answer]:
        """Answers from all documents of each question, in their order; nothing is selected."""
        require_count(max_new_tokens, "max_new_tokens")
        require_texts(questions, "read")
        require_candidates(questions, documents)
        chosen = [Selection(list(texts), [], list(self.compress(texts)) if texts else []) for texts in documents]
        return self._answers(questions, chosen, max_new_tokens)

    def paraphrase(self, texts: Sequence[str], *, max_new_tokens: int = 64) -> list[str]:
        """Documents as the generator rewrites them from their memories alone."""
        require_count(max_new_tokens, "max_new_tokens")
        memories = self.compress(texts).to(self.model.backbone.device)
        return self._generated([self.model.tokens.paraphrase_prompt(1)] * len(texts), memories, max_new_tokens)

    def search(self, questions: Sequence[str], *, store: MemoryStore | str | Path, k: int = 5) -> list[list[Hit]]:
        """The k best passages of each question, best first; nothing is generated.

        Raises:
            CheckpointError: there is no query reasoner, or the store is of another compressor.
        """
        require_count(k, "k")
        opened = self._opened(store)
        found = self._rows(self.reason(questions), opened, k)
        hits = []
        for rows, scores in zip(found.rows.tolist(), found.scores.tolist(), strict=True):
            pairs = zip(opened.passages(rows), scores, strict=True)
            hits.append([Hit(row.id, row.title, row.text, round(score, 6)) for row, score in pairs])
        return hits

    def find(
        self,
        questions: Sequence[str],
        *,
        documents: Sequence[Sequence[str]] | None = None,
        store: MemoryStore | str | Path | None = None,
        k: int = 5,
    ) -> list[Selection]:
        """What `answer` reads, without the answer: for a generator of one's own, or for `write`."""
        require_texts(questions, "answer")
        require_read(k)
        if (documents is None) == (store is None):
            raise DataError("answer needs either documents= (candidates of each question) or store=, one of the two")
        if documents is not None:
            return self._choose_given(questions, documents, k)
        return self._search(questions, self._opened(store or ""), k)

    def write(
        self,
        questions: Sequence[str],
        chosen: Sequence[Selection],
        *,
        max_new_tokens: Sequence[int],
        on_text: OnText,
        stopped: Callable[[int], bool] = lambda row: False,
    ) -> list[int]:
        """Tokens of the answers to `find`'s selections, written together; each piece is given to `on_text`.

        Where a selection is `unknown`, that is said, and no token is written.

        Args:
            questions: the questions.
            chosen: what the generator reads for each.
            max_new_tokens: tokens of each answer at most.
            on_text: takes a question's number and what was added to its answer.
            stopped: whether a question's answer is no longer wanted.
        """
        known, written = _known(chosen), list[int]()
        if known:
            prompts, memories = self._prompts([questions[row] for row in known], [chosen[row] for row in known])
            model = self.model
            with model.adapters.using(GENERATOR):
                written = stream(
                    model.backbone,
                    model.generator,
                    prompts,
                    memories,
                    model.added,
                    max_new_tokens=[max_new_tokens[row] for row in known],
                    on_text=lambda place, text: on_text(known[place], text),
                    stopped=lambda place: stopped(known[place]),
                )
        counts = dict(zip(known, written, strict=True))
        for row in range(len(chosen)):
            if row not in counts:
                on_text(row, UNKNOWN)
        return [counts.get(row, 0) for row in range(len(chosen))]

    def stream(
        self, question: str, *, store: MemoryStore | str | Path, k: int = 5, max_new_tokens: int = 64
    ) -> Iterator[str]:
        """The answer to one question in pieces, as they are written; leaving the loop ends the writing."""
        require_count(max_new_tokens, "max_new_tokens")
        chosen = self.find([question], store=store, k=k)

        def work(give: Callable[[str], None], stopped: Callable[[], bool]) -> None:
            self.write(
                [question],
                chosen,
                max_new_tokens=[max_new_tokens],
                on_text=lambda row, text: give(text),
                stopped=lambda row: stopped(),
            )

        yield from pieces(work)

    def _answers(self, questions: Sequence[str], chosen: Sequence[Selection], max_new_tokens: int) -> list[Answer]:
        started = time.perf_counter()
        texts, known = [UNKNOWN] * len(chosen), _known(chosen)
        if known:
            prompts, memories = self._prompts([questions[row] for row in known], [chosen[row] for row in known])
            for row, text in zip(known, self._generated(prompts, memories, max_new_tokens), strict=True):
                texts[row] = text
        seconds = time.perf_counter() - started
        return [
            Answer(
                text,
                found.documents,
                [round(score, 6) for score in found.scores],
                Seconds(found.reasoner_seconds, found.search_seconds, seconds),
                found.sure,
            )
            for text, found in zip(texts, chosen, strict=True)
        ]

    def _generated(self, prompts: Sequence[list[int]], memories: Tensor | None, max_new_tokens: int) -> list[str]:
        model = self.model
        with model.adapters.using(GENERATOR):
            return generate(
                model.backbone, model.generator, prompts, memories, model.added, max_new_tokens=max_new_tokens
            )

    def _prompts(self, questions: Sequence[str], chosen: Sequence[Selection]) -> tuple[list[list[int]], Tensor | None]:
        prompts = [
            self.model.tokens.answer_prompt(question, len(found.documents))
            for question, found in zip(questions, chosen, strict=True)
        ]
        memories = [vector for found in chosen for vector in found.memories]
        return prompts, torch.stack(memories).to(self.model.backbone.device) if memories else None

    def _choose_given(self, questions: Sequence[str], documents: Sequence[Sequence[str]], k: int) -> list[Selection]:
        require_candidates(questions, documents)
        started = time.perf_counter()
        unique = list(dict.fromkeys(text for candidates in documents for text in candidates))
        memories = dict(zip(unique, self.compress(unique), strict=True)) if unique else {}
        compressed = time.perf_counter()
        if all(len(candidates) <= k for candidates in documents) and not self.model.has_query_reasoner:
            took = compressed - started
            return [Selection(list(texts), [], [memories[text] for text in texts], 0.0, took) for texts in documents]
        queries = self.reason(questions)
        seconds = (time.perf_counter() - compressed, compressed - started)
        chosen = []
        for query, texts in zip(queries, documents, strict=True):
            if not texts:
                chosen.append(Selection([], [], [], *seconds))
                continue
            scores = self.score(query[None], torch.stack([memories[text] for text in texts]))
            best = self.select(scores, k)[0].tolist()
            values = [float(scores[0, i]) for i in best]
            chosen.append(Selection([texts[i] for i in best], values, [memories[texts[i]] for i in best], *seconds))
        return chosen

    def _search(self, questions: Sequence[str], store: MemoryStore, k: int) -> list[Selection]:
        started = time.perf_counter()
        queries = self.reason(questions)
        reasoned = time.perf_counter()
        fitted = self.calibration
        found = self._rows(queries, store, max(k, NEXT + 1) if fitted else k)
        pairs = list(zip(found.rows.tolist(), found.scores.tolist(), strict=True))
        read = [(store.texts(rows[:k]), scores[:k], list(store.rows(rows[:k]))) for rows, scores in pairs]
        seconds = (reasoned - started, time.perf_counter() - reasoned)
        sure = [fitted.sure(scores) if fitted else None for _, scores in pairs]
        return [Selection(*parts, *seconds, told) for parts, told in zip(read, sure, strict=True)]

    def _opened(self, store: MemoryStore | str | Path) -> MemoryStore:
        """The store; of a path it stays open, with what a search keeps of it, until another is named or it changes."""
        if isinstance(store, MemoryStore):
            return store
        if not isinstance(store, str | Path):
            raise DataError(f"store = {store!r:.60} is no store, nor the path of one; name its folder or manifest.json")
        path = Path(store)
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


def methods(roles: Sequence[str]) -> list[str]:
    """The methods of `Clara` that a checkpoint with these roles can answer."""
    return ["compress", "score", "select", "answer"] + (["reason", "search"] if QUERY_REASONER in roles else [])


def load(folder: str | Path, *, dtype: str | None = None, calibration: str | Path | None = None) -> Clara:
    """The checkpoint of any stage in `folder`.

    Args:
        folder: holds `card.json`; or the card itself.
        dtype: precision of the backbone; None takes the one it was trained with.
        calibration: a file of `clara calibrate`; from a store, questions below its threshold are answered with the
            sentence that it does not know.

    Raises:
        CheckpointError: it is no checkpoint, damaged, its backbone is another or missing, or the calibration is another
            checkpoint's.
    """
    card = Path(folder)
    card = card / "card.json" if card.is_dir() else card
    if not card.exists():
        raise CheckpointError(f"{card} does not exist; name the folder of a finished training stage")
    settings = card.parent / "settings.json"
    trained = _trained(settings) if settings.exists() else {"dtype": "float32"}
    attention = trained.get("attention", "sdpa")
    loaded = checkpoint.load(card, dtype=dtype or trained["dtype"], attention=attention, inference=True)
    fitted = read_calibration(Path(calibration), loaded.compressor_hash) if calibration is not None else None
    return Clara(loaded, fitted)


def _trained(settings: Path) -> dict[str, str]:
    """The section `backbone` of a stage's settings."""
    content = read_json(settings)
    section = content.get("backbone") if isinstance(content, dict) else None
    if not isinstance(section, dict) or not all(
        isinstance(value, str) for value in (section.get("dtype"), section.get("attention", "sdpa"))
    ):
        raise CheckpointError(
            f"{settings} must hold backbone.dtype, such as float32, and may hold backbone.attention, such as sdpa; "
            "restore the file that the stage wrote beside the checkpoint"
        )
    return section


def _known(chosen: Sequence[Selection]) -> list[int]:
    """Numbers of the selections that an answer is written from."""
    return [row for row, found in enumerate(chosen) if not found.unknown]
