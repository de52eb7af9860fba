"""Test questions that stand in what is trained on: in a question or in a passage, word by word or nearly.

A question matches where its content words are nearly a test question's and its names and numbers are the same. Some
benchmarks (NQ) write names in lower case: there the other question's names must stand among the words. A passage
matches where it holds most of a test question's runs of words, so that the question itself was printed there; that it
holds the answer is no leak, because every system may read the corpus.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from math import ceil
from typing import NamedTuple

from clara.records import Pair
from clara.synthesis.checks import content, words
from clara.synthesis.paraphrases import names, numbers

NEAR = 0.8
"""Share of content words that two questions have in common (Jaccard)."""
RUN = 4
"""Words of a run."""
PRINTED = 0.6
"""Share of a question's runs that stand in a passage."""
MIN_RUNS = 4
"""A question with fewer runs is too short to tell a quotation from a turn of speech."""


class Leak(NamedTuple):
    """What matches which test question."""

    what: str
    """question or passage."""
    test_question: str


class Leaks:
    """Test questions, ready to be looked up.

    Args:
        questions: the test questions of all benchmarks.
    """

    def __init__(self, questions: Iterable[str]) -> None:
        self.questions = list(dict.fromkeys(questions))
        self._equal = {tuple(words(question)): question for question in self.questions}
        stems = [frozenset(content(question)) for question in self.questions]
        self._common = Counter(stem for known in stems for stem in known)
        self._rare: dict[str, list[tuple[frozenset[str], str]]] = defaultdict(list)
        self._runs: dict[tuple[str, ...], list[str]] = defaultdict(list)
        self._needed: dict[str, float] = {}
        for question, known in zip(self.questions, stems, strict=True):
            for stem in self._rarest(known):
                self._rare[stem].append((known, question))
            runs = set(_runs(question))
            if len(runs) >= MIN_RUNS:
                self._needed[question] = PRINTED * len(runs)
                for run in runs:
                    self._runs[run].append(question)
        self._of_document: tuple[str, str | None] = ("", None)

    def of(self, pair: Pair) -> Leak | None:
        """The match of a pair's question or, failing that, of its passage."""
        if pair.question and (found := self._question(pair.question)):
            return Leak("question", found)
        # Rows of one passage follow one another.
        if self._of_document[0] != pair.document:
            self._of_document = pair.document, self._passage(pair.document)
        found = self._of_document[1]
        return Leak("passage", found) if found else None

    def _question(self, question: str) -> str | None:
        if found := self._equal.get(tuple(words(question))):
            return found
        mine = frozenset(content(question))
        for stem in self._rarest(mine):
            for theirs, other in self._rare.get(stem, ()):
                near = len(mine & theirs) >= NEAR * len(mine | theirs)
                if near and numbers(question) == numbers(other) and _same_names(question, other):
                    return other
        return None

    def _passage(self, document: str) -> str | None:
        held = Counter(question for run in set(_runs(document)) for question in self._runs.get(run, ()))
        return next((question for question, number in held.items() if number >= self._needed[question]), None)

    def _rarest(self, stems: frozenset[str]) -> Sequence[str]:
        """So many of the rarest stems that two sets that are near share one of them (prefix filter)."""
        ordered = sorted(stems, key=lambda stem: (self._common[stem], stem))
        return ordered[: len(ordered) - ceil(NEAR * len(ordered)) + 1]


def _same_names(one: str, other: str) -> bool:
    """Whether two questions name the same; one without capitals may name whatever its words are."""
    mine, theirs = names(one), names(other)
    if mine and theirs:
        return mine == theirs
    return mine <= set(words(other)) and theirs <= set(words(one))


def _runs(text: str) -> Iterator[tuple[str, ...]]:
    found = words(text)
    return zip(*(found[place:] for place in range(RUN)), strict=False)
