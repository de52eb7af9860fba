"""What a shard's outcomes come to, counted as they come; the outcomes need not be kept."""

from collections import Counter
from dataclasses import dataclass, field

from clara.synthesis.rows import Kind, Outcome


@dataclass
class Outcomes:
    """Counts of passages and rows; those of one passage must follow one another."""

    passages: int = 0
    with_a_pair: int = 0
    """Passages of which at least one pair was accepted."""
    failed: int = 0
    """Passages of which at least one kind failed."""
    accepted: int = 0
    rejected: int = 0
    prompts: dict[Kind, str] = field(default_factory=dict)
    """Kind → version of the prompts."""
    endings: Counter[str] = field(default_factory=Counter)
    """How the passages ended, as `kind: ending`."""
    quarantine: dict[str, str] = field(default_factory=dict)
    """Id and title of each passage that failed, and why."""
    _passage: str | None = None
    _has_pair: bool = False
    _has_failed: bool = False

    def add(self, outcome: Outcome) -> None:
        """Counts one outcome in."""
        passage = outcome.passage
        if passage.id != self._passage:
            self._passage, self._has_pair, self._has_failed = passage.id, False, False
            self.passages += 1
        if outcome.accepted and not self._has_pair:
            self._has_pair = True
            self.with_a_pair += 1
        if outcome.failure is not None:
            self.quarantine[f"{passage.id} {passage.title} ({outcome.kind})"] = outcome.failure
            self.failed += not self._has_failed
            self._has_failed = True
        self.accepted += len(outcome.accepted)
        self.rejected += len(outcome.rejected)
        self.endings[f"{outcome.kind}: {outcome.ending}"] += 1
        self.prompts[outcome.kind] = outcome.prompts
