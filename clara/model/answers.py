"""What answering gives back: answers, passages found, and the selection that the generator reads."""

from dataclasses import dataclass, replace
from typing import NamedTuple

from torch import Tensor

from clara.records import document_text


class Seconds(NamedTuple):
    """Time that the questions of one call took together, by part."""

    reasoner: float
    search: float
    """Finding the best documents and reading their memories; compressing them, where they were given as texts."""
    generation: float


class Sure(NamedTuple):
    """Whether a store is likely to answer a question, by a calibration."""

    probability: float
    enough: bool
    """Whether it reaches the calibration's threshold; below it nothing is generated."""


UNKNOWN = "I do not know: the documents do not seem to say."
"""The answer to a question of which a calibration says that the store is unlikely to know."""


class Answer(NamedTuple):
    """An answer and what it was written from."""

    text: str
    documents: list[str]
    """The selected documents, in the order in which the generator read them."""
    scores: list[float]
    """Of each with the question: its cosine, or by late interaction; empty without a query reasoner."""
    seconds: Seconds
    sure: Sure | None = None
    """None without a calibration, or where the candidates were given."""


class Hit(NamedTuple):
    """A passage that a search found."""

    id: str
    title: str
    text: str
    score: float

    @property
    def document(self) -> str:
        """Title and text as the compressor sees them."""
        return document_text(self.title, self.text)


@dataclass(frozen=True)
class Selected:
    """The documents that the generator reads for one question, best first."""

    documents: list[str]
    scores: list[float]
    """Empty where the checkpoint has no query reasoner."""
    memories: list[Tensor]
    reasoner_seconds: float = 0.0
    search_seconds: float = 0.0
    sure: Sure | None = None

    @property
    def unknown(self) -> bool:
        """Whether the answer is `UNKNOWN`, by a calibration."""
        return self.sure is not None and not self.sure.enough

    def first(self, k: int) -> "Selected":
        """The best k of them."""
        return replace(self, documents=self.documents[:k], scores=self.scores[:k], memories=self.memories[:k])
