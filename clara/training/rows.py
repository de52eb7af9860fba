"""Synthesized rows as pretraining takes them: which, and which of them make one example; a row at a time."""

import math
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

import numpy

from clara.errors import DataError
from clara.files import text_id
from clara.records import Pair


class Unit(NamedTuple):
    """What one example is made of."""

    row: Pair
    """The row, of a list the first."""
    lines: list[str]
    """Of a list question and answer of each of its rows; none where the example is of one row."""


def distinct(texts: Iterable[str]) -> Iterator[str]:
    """Each text once, by eight bytes of its hash, which two are not expected to share below thousands of millions."""
    seen: set[int] = set()
    last = None
    for text in texts:
        if text != last:
            last, number = text, int(text_id(text), 16)
            if number not in seen:
                seen.add(number)
                yield text


def chosen_rows(pairs: Iterable[Pair], rows: str, *, document_share: float = 1.0) -> Iterable[Pair]:
    """The rows to pretrain on: `accepted` as they come, `templates`: made by rule alone, `all`: rejected ones too.

    Rejected rows come in a file of their own; by the order of ids they lie among the accepted ones, so that a list cut
    to its longest does not drop them first. For this order they are all held in memory; others are read when they are
    asked for. Those of which nothing could be read have no question or answer, and nothing can be learnt from them.

    Args:
        pairs: synthesized rows, gone through again for each time that the chosen ones are.
        rows: which of them.
        document_share: only of this share of the documents, the first by id, which is a hash: a smaller choice is part
            of a larger one (Table 11).
    """
    chosen = _Chosen(pairs, rows == "templates", None)
    if document_share < 1:
        documents = sorted({pair.document_id for pair in chosen})
        chosen = _Chosen(pairs, rows == "templates", set(documents[: math.ceil(document_share * len(documents))]))
    return sorted(chosen, key=lambda pair: pair.id) if rows == "all" else chosen


@dataclass(frozen=True)
class _Chosen(Iterable[Pair]):
    pairs: Iterable[Pair]
    by_templates: bool
    """Only rows made by rule."""
    documents: Set[str] | None
    """Only rows of these; null: of all."""

    def __iter__(self) -> Iterator[Pair]:
        for pair in self.pairs:
            if (
                pair.answer
                and (pair.question or pair.kind == "paraphrase")
                and (pair.source == "templates" or not self.by_templates)
                and (self.documents is None or pair.document_id in self.documents)
            ):
                yield pair


def units(pairs: Iterable[Pair], *, kinds: Sequence[str], qa_target: str) -> Iterator[Unit]:
    """What the examples of SCP pretraining are made of, in their order: those of one row, then the lists.

    Args:
        pairs: the rows to train on, gone through three times. Where those of one list lie apart, which they do in no
            file of ours, all lists are held in memory.
        kinds: kinds of rows to use.
        qa_target: `list`: all pairs of one kind and document are one example; `answer`: every pair is.

    Raises:
        DataError: no row is of one of these kinds.
    """
    listed = {kind for kind in kinds if kind != "paraphrase"} if qa_target == "list" else set[str]()
    found, apart = _survey(pairs, listed)
    if absent := [kind for kind in kinds if kind not in found]:  # trained on the others alone, it would be another run
        raise DataError(
            f"pretraining.kinds names {', '.join(absent)}, but no synthesized row to train on is of that kind (found: "
            f"{', '.join(f'{kind} {count}' for kind, count in sorted(found.items())) or 'none at all'}); synthesize "
            "such rows or leave the kind out"
        )
    if alone := set(kinds) - listed:
        yield from (Unit(pair, []) for pair in pairs if pair.kind in alone)
    if listed:
        yield from (_gathered if apart else _joined)(pair for pair in pairs if pair.kind in listed)


def _survey(pairs: Iterable[Pair], listed: Set[str]) -> tuple[Counter[str], bool]:
    """Number of rows by kind, and whether rows of one list may lie apart."""
    found: Counter[str] = Counter()
    begun, last = array("q"), None  # eight bytes a list: of the paper's there are four million
    for pair in pairs:
        found[pair.kind] += 1
        if pair.kind in listed and _list_of(pair) != last:
            last = _list_of(pair)
            begun.append(hash(last))
    return found, len(numpy.unique(numpy.array(begun))) < len(begun)


def _joined(pairs: Iterable[Pair]) -> Iterator[Unit]:
    for _, group in groupby(pairs, key=_list_of):
        yield from _gathered(group)


def _gathered(pairs: Iterable[Pair]) -> Iterator[Unit]:
    found: dict[tuple[str, str], Unit] = {}
    for pair in pairs:
        found.setdefault(_list_of(pair), Unit(pair, [])).lines.append(_lines(pair))
    yield from found.values()


def _list_of(pair: Pair) -> tuple[str, str]:
    return pair.document_id, pair.kind


def _lines(pair: Pair) -> str:
    return f"Question: {pair.question}\nAnswer: {pair.answer}"
