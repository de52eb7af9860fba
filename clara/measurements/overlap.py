"""How much of one text stands in another: ROUGE, entities, numbers; pure functions, standard library only."""

import re
from collections import Counter

TOKEN = re.compile(r"[a-z0-9]+")
NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}\b)")
WORD = r"[A-Z][\w'\u2019&-]*"
NAME = re.compile(rf"\b{WORD}(?: (?:of |the |de |von |van )*{WORD})*")
SENTENCE_START = re.compile(r"(?:^|[.!?:;]\s+|\n\s*|[\"\u201c(])$")
COMMON = frozenset(
    "a an the in on at by of for from with to as it its this that these those he she they his her their there when "
    "while where who what which if but and or so also although after before during since until some many most both "
    "such another other each all no not one two first however is was are were".split()
)
"""Words that open a sentence in capitals without being names."""


def tokens(text: str) -> list[str]:
    """Lower-case runs of letters and digits, as the reference implementation of ROUGE makes them without stemming."""
    return TOKEN.findall(text.lower())


def rouge_1(prediction: str, reference: str) -> float:
    """F1 of the tokens that both texts have, counted with multiplicity; 0 where either has none."""
    given, wanted = tokens(prediction), tokens(reference)
    return _f1((Counter(given) & Counter(wanted)).total(), len(given), len(wanted))


def rouge_l(prediction: str, reference: str) -> float:
    """F1 of the longest common subsequence of tokens; 0 where either text has none."""
    given, wanted = tokens(prediction), tokens(reference)
    return _f1(_longest_common(given, wanted), len(given), len(wanted))


def _f1(common: int, given: int, wanted: int) -> float:
    return 2 * common / (given + wanted) if common else 0.0


def _longest_common(first: list[str], second: list[str]) -> int:
    """Length of the longest common subsequence, a row of the table at a time."""
    above = [0] * (len(second) + 1)
    for token in first:
        row = [0]
        for place, other in enumerate(second, 1):
            row.append(above[place - 1] + 1 if token == other else max(above[place], row[-1]))
        above = row
    return above[-1]


def numbers(text: str) -> set[str]:
    """The numbers of a text, thousands commas removed.

    >>> sorted(numbers("In 1887 there were 4,596 people, 2.5 % of them new."))
    ['1887', '2.5', '4596']
    """
    return set(NUMBER.findall(_joined(text)))


def _joined(text: str) -> str:
    return THOUSANDS.sub("", text)


def names(text: str) -> set[str]:
    """The proper names of an English text by their form, lower-cased: runs of words in capitals.

    A common word that opens a sentence is none and does not begin one; other first words count, which takes some
    ordinary words for names, alike in every text that is compared.
    """
    found = set()
    for match in NAME.finditer(text):
        words = match.group().split()
        opens = SENTENCE_START.search(text[: match.start()]) is not None
        while words and opens and words[0].lower() in COMMON:
            words = words[1:]
        while words and words[-1].lower() in COMMON:
            words = words[:-1]
        if words:
            found.add(" ".join(words).lower())
    return found


def kept(wanted: set[str], text: str) -> float | None:
    """Share of `wanted` (lower case) that stand in `text` as whole words; None of nothing."""
    if not wanted:
        return None
    held = f" {' '.join(tokens(_joined(text)))} "
    return sum(f" {' '.join(tokens(item))} " in held for item in wanted) / len(wanted)
