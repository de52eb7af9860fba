"""The report of synthesis: what was made, what was rejected and why, and what it cost."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from clara.data.tally import distribution
from clara.records import Pair
from clara.synthesis.loop import Work
from clara.synthesis.outcomes import Outcomes
from clara.synthesis.rows import Rejected

ADDED = (
    "passages",
    "passages_without_a_pair",
    "failed_passages",
    "requests",
    "requests_from_cache",
    "prompt_tokens",
    "reply_tokens",
    "seconds",
)
"""What the reports of shards are added up in."""


@dataclass
class Tally:
    """Counts and lengths of rows, made here or published; rows need not be kept."""

    kinds: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    rounds: Counter[str] = field(default_factory=Counter)
    words: dict[str, dict[str, Counter[int]]] = field(default_factory=dict)
    """By kind and part: how many questions and answers have so many words."""
    accepted: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)

    def accept(self, pair: Pair) -> None:
        """Counts an accepted row."""
        self.kinds[pair.kind] += 1
        self.sources[pair.source or "published"] += 1
        self.rounds[f"{pair.kind} round {pair.round}"] += 1
        lengths = self.words.setdefault(pair.kind, {"question": Counter(), "answer": Counter()})
        lengths["question"][len(pair.question.split())] += 1
        lengths["answer"][len(pair.answer.split())] += 1
        self.accepted[_maker(pair)] += 1

    def reject(self, pair: Rejected) -> None:
        """Counts a rejected row."""
        self.rejected[_maker(pair)] += 1
        self.reasons[f"{pair.kind}: {pair.reason}"] += 1

    def totals(self) -> dict[str, int]:
        """How many rows there are of each sort."""
        return {"accepted": self.accepted.total(), "rejected": self.rejected.total()}

    def content(self) -> dict[str, Any]:
        """All counts as JSON."""
        return {
            "by_kind": _sorted(self.kinds),
            "by_source": _sorted(self.sources),
            "by_round": _sorted(self.rounds),
            "words": {
                kind: {part: distribution(list(lengths.elements())) for part, lengths in parts.items()}
                for kind, parts in sorted(self.words.items())
            },
            "acceptance": {
                name: ratio(self.accepted[name], self.accepted[name] + self.rejected[name])
                for name in sorted(self.accepted | self.rejected)
            },
            "rejections": _sorted(self.reasons),
        }


def describe(work: Work, outcomes: Outcomes, *, engine: str, model: str, seconds: float) -> dict[str, Any]:
    """What a shard's report says beside the counts of its rows.

    Args:
        work: what the loop did.
        outcomes: what came of it.
        engine: kind of engine.
        model: identity of the generator.
        seconds: wall time, the engine's start included.
    """
    return {
        "engine": engine,
        "model": model,
        "passages": outcomes.passages,
        "passages_without_a_pair": outcomes.passages - outcomes.with_a_pair,
        "failed_passages": outcomes.failed,
        "requests": work.requests,
        "requests_from_cache": work.cached,
        "prompt_tokens": work.prompt_tokens,
        "reply_tokens": work.reply_tokens,
        "seconds": round(seconds, 1),
        "endings": _sorted(outcomes.endings),
        "prompts": outcomes.prompts,
        "quarantine": outcomes.quarantine,
    }


def gathered(reports: Sequence[dict[str, Any]], rows: Tally) -> dict[str, Any]:
    """The report of all shards: their own added up, the rows' counts, and the rates that follow."""
    first = reports[0]
    added = {key: sum(report[key] for report in reports) for key in ADDED if key in first}
    whole = {key: value for key, value in first.items() if not isinstance(value, dict)} | added | rows.totals()
    if "seconds" in added:
        whole["seconds"] = round(added["seconds"], 1)
        whole |= {
            "yield_per_passage": ratio(whole["accepted"], whole["passages"]),
            "requests_per_second": ratio(added["requests"], added["seconds"]),
            "tokens_per_second": ratio(added["reply_tokens"], added["seconds"]),
            "seconds_per_passage": ratio(added["seconds"], whole["passages"]),
        }
    endings = sum((Counter(report.get("endings", {})) for report in reports), Counter[str]())
    merged: dict[str, Any] = {"endings": _sorted(endings)} if endings else {}
    for name in ("prompts", "quarantine"):
        merged[name] = {key: value for report in reports for key, value in report.get(name, {}).items()}
    # The first shard's forecast stands for all: that is what was printed before the cost was spent.
    forecast = {"forecast": first["forecast"]} if "forecast" in first else {}
    return whole | {"shards": len(reports)} | rows.content() | forecast | merged


def ratio(part: float, whole: float) -> float:
    """A share or mean with three decimals; 0 of nothing."""
    return round(part / whole, 3) if whole else 0.0


def _maker(pair: Pair) -> str:
    return f"{pair.kind} by {pair.source or 'published'}"


def _sorted(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items()))
