"""The passages that synthesis works on: prose, long enough, evenly spread over the corpus."""

import re

from clara.errors import DataError
from clara.records import Passage

MIN_WORDS = 40
PROSE_SHARE = 0.6
"""Share of words in lower case: lists of names, tables and formulas have less."""


def is_prose(passage: Passage) -> bool:
    """Whether a passage is long enough, made of sentences, and mostly of plain words."""
    tokens = passage.text.split()
    if len(tokens) < MIN_WORDS or not re.search(r"[a-z]{2}[.!?][\"”)]?(\s|$)", passage.text):
        return False
    return sum(token[0].islower() for token in tokens) >= PROSE_SHARE * len(tokens)


def spread(passages: list[Passage], number: int | None) -> list[Passage]:
    """At most `number` prose passages at equal distances, in the corpus's order; all of them where `number` is None.

    Raises:
        DataError: no passage is fit.
    """
    fit = [passage for passage in passages if is_prose(passage)]
    if not fit:
        raise DataError(
            f"none of the {len(passages)} passages is prose of at least {MIN_WORDS} words; check the corpus and "
            "corpus.passages.words"
        )
    if number is None or number >= len(fit):
        return fit
    return [fit[place * len(fit) // number] for place in range(number)]
