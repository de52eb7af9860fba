"""What a run was made of: synthesized rows, questions, corpus, and what the ratios really are (Tables 8, 9 and 11)."""

from array import array
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clara.data.candidates import candidate_file, read_questions
from clara.data.tally import distribution
from clara.data.tokenization import TokenCounter
from clara.files import read_json, text_id
from clara.records import Pair, Passage, Question, document_id

Digests = NDArray[np.uint64]
COUNTED = 20_000
"""Documents whose tokens are counted, spread over all."""


def describe(
    pairs: Iterable[Pair],
    review: Path,
    corpus_report: Path,
    candidates: Sequence[Path],
    documents: Sequence[Passage],
    counter: TokenCounter,
    *,
    ratios: Sequence[int],
    document_max_tokens: int,
) -> dict[str, Any]:
    """The content of `data.json`.

    Args:
        pairs: accepted rows of synthesis, gone through once.
        review: its report.
        corpus_report: the corpus's.
        candidates: the files of pools.
        documents: every document that a pool names.
        counter: of the backbone's tokens.
        ratios: nominal ratios of the run.
        document_max_tokens: tokens of a document at most.
    """
    chosen = list(islice(documents, 0, None, max(1, len(documents) // COUNTED)))  # a block of a stored file at a time
    lengths = [min(count, document_max_tokens) for count in counter.count([one.document for one in chosen])]
    synthesis, synthesized = synthesis_rows(pairs, read_json(review))
    return {
        "synthesis": synthesis,
        "questions": question_rows(candidates),
        "corpus": read_json(corpus_report) | {"synthesized_documents": synthesized},
        "documents": {"stored": len(documents), "counted": len(chosen), "tokens": distribution(lengths)},
        "ratios": ratio_rows(lengths, ratios, document_max_tokens),
    }


def synthesis_rows(pairs: Iterable[Pair], report: Mapping[str, Any]) -> tuple[list[dict[str, Any]], int]:
    """Table 8, a row a kind, and of how many documents all rows are; the rows are gone through once.

    A row has documents, rows, rows a document, mean words of document and of what is learned from it. The paper's
    "Avg.out" counts all questions and answers of a document together; so do `output_words`.
    """
    seen = {kind: _Seen() for kind in ("simple", "complex", "paraphrase")}
    for pair in pairs:
        seen[pair.kind].add(pair)
    found = []
    for kind, mine in seen.items():
        documents = mine.documents()
        rejected = sum(
            number for reason, number in report.get("rejections", {}).items() if reason.startswith(f"{kind}: ")
        )
        number = len(documents)
        found.append(
            {
                "kind": kind,
                "documents": number,
                "rows": mine.rows,
                "rejected": rejected,
                "rows_per_document": _mean(mine.rows, number),
                "input_words": _mean(int(documents["words"].sum()), number),
                "output_words": _mean(mine.words, number),
            }
        )
    return found, len(np.unique(np.concatenate([mine.documents()["id"] for mine in seen.values()])))


class _Seen:
    """Of one kind's rows their number, their words, and sixteen bytes a document: rows of one follow one another."""

    def __init__(self) -> None:
        self.rows = self.words = 0
        self._last: tuple[str, str] | None = None
        self._ids, self._lengths = array("Q"), array("Q")

    def add(self, pair: Pair) -> None:
        self.rows += 1
        self.words += len(pair.question.split()) + len(pair.answer.split())
        if (pair.document_id, pair.document) != self._last:
            self._last = pair.document_id, pair.document
            self._ids.append(int(text_id(pair.document_id), 16))
            self._lengths.append(len(pair.document.split()))

    def documents(self) -> NDArray[Any]:
        """`id` and `words` of each document, as the last row that names it has it."""
        table = np.empty(len(self._ids), dtype=[("id", np.uint64), ("words", np.uint64)])
        table["id"], table["words"] = np.array(self._ids)[::-1], np.array(self._lengths)[::-1]
        return table[np.unique(table["id"], return_index=True)[1]]


def question_rows(candidates: Sequence[Path]) -> list[dict[str, Any]]:
    """Table 9, a row a benchmark, split and setting: questions, those with gold documents, their means.

    Of test questions also which share of their gold documents training knows, of all benchmarks: as gold
    (`gold_seen_as_gold`), or as any candidate (`gold_seen`). A query reasoner that learned from labels profits from the
    former.
    """
    golden = pools = _digests([])
    found = {}
    # Training first, and one file at a time: all together are gigabytes at the paper's size.
    for path in sorted(candidates, key=lambda path: candidate_file(path).split != "train"):
        name, questions = candidate_file(path), read_questions(path)
        gold = [row for row in questions if row.pos_index]
        documents = _digests(document for row in gold for document in _gold(row))
        seen = {}
        if name.split == "train":
            golden = np.union1d(golden, documents)
            pools = np.union1d(pools, _digests(document for row in questions for document in row.docs))
        else:
            seen = {
                "gold_seen_as_gold": _mean(int(np.isin(documents, golden).sum()), len(documents)),
                "gold_seen": _mean(int(np.isin(documents, pools).sum()), len(documents)),
            }
        found[path] = (
            name._asdict()
            | {
                "questions": len(questions),
                "with_gold": len(gold),
                "gold_per_question": _mean(sum(len(row.pos_index) for row in gold), len(gold)),
                "candidates": _mean(sum(len(row.docs) for row in questions), len(questions)),
                "gold_answers": _mean(sum(len(row.golden_answers) for row in questions), len(questions)),
            }
            | seen
        )
    return [found[path] for path in candidates]


def _gold(question: Question) -> list[str]:
    return [question.docs[place] for place in question.pos_index]


def _digests(documents: Iterable[str]) -> Digests:
    """Eight bytes a document; two that share them are not to be expected below thousands of millions."""
    return np.fromiter((int(document_id(document), 16) for document in documents), dtype=np.uint64)


def ratio_rows(lengths: Sequence[int], ratios: Sequence[int], document_max_tokens: int) -> list[dict[str, Any]]:
    """For every nominal ratio: memory vectors, and tokens of a mean document for each of them (the effective ratio)."""
    mean = sum(lengths) / max(1, len(lengths))
    found = []
    for ratio in ratios:
        vectors = document_max_tokens // ratio
        found.append(
            {
                "ratio": ratio,
                "memory_vectors": vectors,
                "nominal": round(document_max_tokens / vectors, 2),
                "effective": round(mean / vectors, 2),
                "longer_than_memory": _mean(sum(length > vectors for length in lengths), len(lengths)),
            }
        )
    return found


def _mean(whole: float, number: int) -> float:
    return round(whole / number, 3) if number else 0.0
