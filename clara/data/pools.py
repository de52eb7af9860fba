"""Candidate pools: a question's gold documents among distractors, or what a retriever finds."""

import random
import re
import warnings
from collections.abc import Callable, Iterator, Sequence

from clara.data.benchmarks import gold_documents
from clara.data.bm25 import Bm25
from clara.progress import Progress
from clara.records import Question

DEPTH = 200
"""Documents of the ranking looked at, beyond a pool's size, for distractors that are surely wrong."""


class PoolMaker:
    """Makes pools from the documents of a corpus.

    Args:
        documents: of the corpus, each once.
        size: documents of a pool.
        seed: of the order in oracle pools.
        k1: term saturation of BM25.
        b: length normalisation of BM25.
    """

    def __init__(self, documents: Sequence[str], *, size: int, seed: int, k1: float, b: float) -> None:
        self.documents = documents
        self.size = size
        self.seed = seed
        self.index = Bm25(documents, k1=k1, b=b)
        if len(documents) < size:
            warnings.warn(
                f"the corpus has {len(documents)} passages, fewer than candidates.size = {size}; pools are smaller: "
                "keep more passages or lower candidates.size",
                stacklevel=2,
            )

    def oracle(self, question: Question) -> Question:
        """The question with its gold documents and distractors, shuffled by seed and id.

        The question's own documents stay, gold first; BM25's best fill the pool. Passed over, as long as there are
        others: for one gold document, distractors that hold an answer; for several, other passages of their articles.
        """
        gold = gold_documents(question)
        own = [document for document in question.docs if document not in set(gold)]
        pool = list(dict.fromkeys([*gold, *own]))[: self.size]
        pool += self._distractors(question, gold, pool)
        random.Random(f"{self.seed}-{question.id}").shuffle(pool)
        return with_pool(question, pool, gold)

    def normal(self, question: Question) -> Question:
        """The question with BM25's best documents of the corpus, best first; gold is what is found of it."""
        pool = [self.documents[index] for index in self.index.best(question.question, self.size)]
        return with_pool(question, pool, gold_documents(question))

    def scored(self, question: Question) -> Question:
        """The question with the BM25 score of each of its documents, whether or not the corpus has them."""
        scores = [round(score, 6) for score in self.index.scores_of(question.question, question.docs)]
        return question.model_copy(update={"bm25": scores})

    def _distractors(self, question: Question, gold: list[str], pool: list[str]) -> list[str]:
        missing = self.size - len(pool)
        if missing == 0:
            return []
        known = set(pool)
        best = self.index.best(question.question, self.size + DEPTH)
        found = [document for index in best if (document := self.documents[index]) not in known]
        doubtful = _holds_answer(question.golden_answers) if len(gold) == 1 else _shares_title(gold)
        sure = [document for document in found if not doubtful(document)]
        rest = [document for document in found if doubtful(document)]
        return [*sure, *rest][:missing]


def with_pool(question: Question, pool: list[str], gold: list[str]) -> Question:
    """The question with another pool, not yet scored."""
    golden = set(gold)
    marked = [place for place, document in enumerate(pool) if document in golden]
    return question.model_copy(update={"docs": pool, "pos_index": marked, "bm25": None})


def fill(questions: list[Question], maker: PoolMaker, setting: str, *, score: bool = True) -> Iterator[Question]:
    """The questions with pools of a setting, `oracle`, `normal`, or `given`, their own; scored if `score`."""
    makers: dict[str, Callable[[Question], Question]] = {"oracle": maker.oracle, "normal": maker.normal}
    with Progress(f"{setting} pools", total=len(questions), unit="questions") as progress:
        for number, question in enumerate(questions, 1):
            filled = question if setting == "given" else makers[setting](question)
            yield maker.scored(filled) if score else filled
            progress.update(number)


def _holds_answer(answers: list[str]) -> Callable[[str], bool]:
    """Whether a document holds one of the answers as whole words."""
    words = "|".join(re.escape(plain) for answer in answers if (plain := _plain(answer)))
    pattern = re.compile(rf"(?<!\w)(?:{words})(?!\w)")
    return lambda document: bool(words) and pattern.search(_plain(document)) is not None


def _shares_title(documents: list[str]) -> Callable[[str], bool]:
    """Whether a document is of the same article as one of the documents."""
    titles = {document.partition("\n")[0] for document in documents}
    return lambda document: document.partition("\n")[0] in titles


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())
