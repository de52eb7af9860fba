"""What became of the pages and passages of a corpus: the report of `split_passages`."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Tally:
    """Counts kept while a corpus is split."""

    articles_kept: int = 0
    articles_shortened: int = 0
    """Articles with more passages than `per_article`; what lies beyond was not read."""
    articles_dropped: Counter[str] = field(default_factory=Counter)
    """By reason."""
    passages_split: int = 0
    """Passages that were split because of their tokens."""
    passages_dropped: Counter[str] = field(default_factory=Counter)
    """By reason."""
    words: list[int] = field(default_factory=list)
    """Of each passage kept, without its title."""
    tokens: list[int] = field(default_factory=list)
    """Of each document kept, title included."""

    def report(self) -> dict[str, Any]:
        """The tally as JSON."""
        return {
            "articles": {
                "read": self.articles_kept + self.articles_dropped.total(),
                "kept": self.articles_kept,
                "shortened": self.articles_shortened,
                "dropped": dict(sorted(self.articles_dropped.items())),
            },
            "passages": {
                "kept": len(self.words),
                "split_by_tokens": self.passages_split,
                "dropped": dict(sorted(self.passages_dropped.items())),
                "words": distribution(self.words),
                "tokens": distribution(self.tokens),
            },
        }


def distribution(values: list[int]) -> dict[str, float]:
    """Mean, extremes and quantiles (nearest rank) of some numbers; empty for none."""
    if not values:
        return {}
    ordered = sorted(values)
    quantiles = {f"p{share}": ordered[round((len(ordered) - 1) * share / 100)] for share in (5, 50, 95)}
    return {"mean": round(sum(values) / len(values), 2), "min": ordered[0], **quantiles, "max": ordered[-1]}
