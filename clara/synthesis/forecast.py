"""What a run will cost, told from its first passages: requests, tokens and hours."""

import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

from clara.progress import duration
from clara.synthesis.loop import Work
from clara.synthesis.rows import Kind, Outcome

FIRST = 16
"""Passages of each kind that a forecast rests on; fewer where there are no more."""


class Forecast:
    """Mean costs of a passage by kind, from the outcomes so far.

    Args:
        asked: passages of each kind in the whole run, all shards together.
        here: passages of each kind in this shard.
        share_of_corpus: passages of the run, as a share of those in the corpus that are fit.
    """

    def __init__(self, asked: Mapping[Kind, int], here: Mapping[Kind, int], *, share_of_corpus: float) -> None:
        self.asked, self.here, self.share_of_corpus = asked, here, share_of_corpus
        self.seen: Counter[Kind] = Counter()
        self.requests: Counter[Kind] = Counter()
        self.prompt_tokens: Counter[Kind] = Counter()
        self.reply_tokens: Counter[Kind] = Counter()
        self._start = time.monotonic()

    def add(self, outcome: Outcome) -> None:
        """Counts one outcome in."""
        self.seen[outcome.kind] += 1
        self.requests[outcome.kind] += outcome.requests
        self.prompt_tokens[outcome.kind] += outcome.prompt_tokens
        self.reply_tokens[outcome.kind] += outcome.reply_tokens

    def ready(self) -> bool:
        """Whether enough outcomes of every kind are there."""
        return all(self.seen[kind] >= min(FIRST, number) for kind, number in self.here.items())

    def content(self, work: Work, *, start_seconds: float) -> dict[str, Any]:
        """The forecast as JSON: for the configured passages, and for the whole corpus.

        Args:
            work: what the loop has done; it tells the engine's speed.
            start_seconds: time that the engine took to start; it is no part of the speed.
        """
        seconds = time.monotonic() - self._start - start_seconds
        found: dict[str, Any] = {
            "outcomes_measured": self.seen.total(),
            "requests": self._total(self.requests),
            "prompt_tokens": self._total(self.prompt_tokens),
            "reply_tokens": self._total(self.reply_tokens),
            # Where every reply was cached, nothing tells the speed.
            "engine_hours": self._total(self.requests) * seconds / work.requests / 3600 if work.requests else None,
        }
        whole = {
            f"whole_corpus_{key}": value / self.share_of_corpus if value is not None else None
            for key, value in found.items()
            if key != "outcomes_measured"
        }
        return {
            key: None if value is None else round(value, 4) if key.endswith("hours") else round(value)
            for key, value in (found | whole).items()
        }

    def _total(self, counted: Mapping[Kind, int]) -> float:
        return sum(number * counted[kind] / self.seen[kind] for kind, number in self.asked.items() if self.seen[kind])


def sentence(content: Mapping[str, Any], shards: int) -> str:
    """The forecast in words."""

    def cost(prefix: str) -> str:
        if not content[f"{prefix}requests"]:
            return "no requests"
        hours = content[f"{prefix}engine_hours"]
        time = "unknown time, all replies were cached" if hours is None else f"{duration(3600 * hours)} of one engine"
        if hours is not None and shards > 1:
            time += f", {duration(3600 * hours / shards)} on {shards}"
        return (
            f"{content[prefix + 'requests']:,} requests, {content[prefix + 'prompt_tokens']:,} prompt and "
            f"{content[prefix + 'reply_tokens']:,} reply tokens, {time}"
        )

    return (
        f"forecast from {content['outcomes_measured']} outcomes: {cost('')}; the whole corpus: {cost('whole_corpus_')}"
    )
