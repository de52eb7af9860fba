"""What synthesis makes: accepted pairs, rejected ones with their reason, and the outcome of each task."""

from dataclasses import dataclass, field
from typing import Any, Literal

from clara.files import text_id
from clara.records import Pair, Passage, document_id

Kind = Literal["simple", "complex", "paraphrase"]
KINDS: tuple[Kind, ...] = ("simple", "complex", "paraphrase")

TOO_MANY = "too_many"
"""Reason of questions beyond the number asked for: they were not tried, and may be asked again."""


class Rejected(Pair):
    """A pair that failed a check. A reply that could not be read at all stands in `answer`."""

    reason: str
    """Name of the check."""


@dataclass
class Outcome:
    """What one kind of request brought for one passage."""

    passage: Passage
    kind: Kind
    prompts: str
    """Version of the prompts."""
    accepted: list[Pair] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    covered: bool = True
    """Whether nothing was left to ask when it ended, or a paraphrase passed."""
    requests: int = 0
    """Replies that it took, cached or not; with their tokens below."""
    prompt_tokens: int = 0
    reply_tokens: int = 0
    failure: str | None = None
    """Why the passage went to quarantine; null when it did not."""

    @property
    def ending(self) -> str:
        """How the work on the passage ended: `covered`, `rounds_exhausted` or `quarantined`."""
        if self.failure is not None:
            return "quarantined"
        return "covered" if self.covered else "rounds_exhausted"

    def accept(self, question: str, answer: str, *, round: int, source: str) -> None:
        """Keeps a pair."""
        self.accepted.append(Pair(**self._row(question, answer, round, source)))

    def reject(self, question: str, answer: str, reason: str, *, round: int, source: str) -> None:
        """Keeps a pair that failed, with the reason."""
        self.rejected.append(Rejected(**self._row(question, answer, round, source), reason=reason))

    def withdraw(self, reason: str) -> None:
        """Rejects after all what was accepted."""
        self.rejected += [Rejected(**pair.model_dump(), reason=reason) for pair in self.accepted]
        self.accepted = []

    def asked(self) -> list[tuple[str, str]]:
        """Question and answer of each accepted pair."""
        return [(pair.question, pair.answer) for pair in self.accepted]

    def turned_away(self) -> list[str]:
        """Questions that were tried in vain, each once."""
        tried = [pair.question for pair in self.rejected if pair.question and pair.reason != TOO_MANY]
        return list(dict.fromkeys(tried))

    def _row(self, question: str, answer: str, round: int, source: str) -> dict[str, Any]:
        return pair_row(self.passage.document, self.kind, question, answer) | {
            "round": round,
            "prompts": self.prompts,
            "source": source,
        }


def pair_row(document: str, kind: str, question: str, answer: str) -> dict[str, Any]:
    """The fields of a pair that follow from its content."""
    return {
        "id": text_id("\n".join((kind, document, question, answer))),
        "document_id": document_id(document),
        "document": document,
        "kind": kind,
        "question": question,
        "answer": answer,
    }
