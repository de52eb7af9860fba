"""The passages that synthesis works on: prose, long enough, evenly spread over the corpus."""

import re
from array import array
from collections.abc import Iterable, Sequence
from typing import overload

from clara.errors import DataError
from clara.records import Passage

MIN_WORDS = 40
PROSE_SHARE = 0.6
"""Share of words in lower case: lists of names, tables and formulas have less."""


class Even(Sequence[int]):
    """At most `number` of the places from 0 to `total`, at equal distances: 0, 2, 5, 7 for four of ten; None: all.

    None of them is kept, so that there may be millions.
    """

    def __init__(self, total: int, number: int | None) -> None:
        self.total, self.number = total, total if number is None else min(number, total)

    def __len__(self) -> int:
        return self.number

    @overload
    def __getitem__(self, index: int) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> list[int]: ...
    def __getitem__(self, index: int | slice) -> int | list[int]:
        found = range(self.number)[index]
        if isinstance(found, range):
            return [self[each] for each in found]
        return found * self.total // self.number

    def __contains__(self, place: object) -> bool:
        if not isinstance(place, int) or not self.number or not 0 <= place < self.total:
            return False
        first = -(-place * self.number // self.total)  # of the indices whose place is this one or a later one
        return first * self.total // self.number == place


def is_prose(passage: Passage) -> bool:
    """Whether a passage is long enough, made of sentences, and mostly of plain words."""
    tokens = passage.text.split()
    if len(tokens) < MIN_WORDS or not re.search(r"[a-z]{2}[.!?][\"”)]?(\s|$)", passage.text):
        return False
    return sum(token[0].islower() for token in tokens) >= PROSE_SHARE * len(tokens)


def fit_rows(passages: Iterable[Passage]) -> "array[int]":
    """Numbers, from 0, of the passages that are prose: eight bytes each of what is kept.

    Raises:
        DataError: no passage is fit.
    """
    read, fit = 0, array("Q")
    for passage in passages:
        if is_prose(passage):
            fit.append(read)
        read += 1
    if not fit:
        raise DataError(
            f"none of the {read} passages is prose of at least {MIN_WORDS} words; check the corpus and "
            "corpus.passages.words"
        )
    return fit


def spread(passages: Sequence[Passage], number: int | None) -> list[Passage]:
    """At most `number` prose passages at equal distances, in the corpus's order; all of them where `number` is None.

    Raises:
        DataError: no passage is fit.
    """
    fit = fit_rows(passages)
    return [passages[fit[place]] for place in Even(len(fit), number)]
