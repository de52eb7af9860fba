"""The report of synthesis: what was made, what was rejected and why, and what it cost."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from clara.records import Pair
from clara.synthesis.loop import Work
from clara.synthesis.rows import Outcome


def describe(work: Work, *, engine: str, model: str, seconds: float) -> dict[str, Any]:
    """The content of report.json for a run of the loop.

    Args:
        work: what the loop did.
        engine: kind of engine.
        model: identity of the generator.
        seconds: wall time, the engine's start included.
    """
    outcomes = work.outcomes
    passages = {outcome.passage.id for outcome in outcomes}
    accepted = [pair for outcome in outcomes for pair in outcome.accepted]
    rejected = [pair for outcome in outcomes for pair in outcome.rejected]
    failed = quarantine(outcomes)
    report = {
        "engine": engine,
        "model": model,
        "passages": len(passages),
        "accepted": len(accepted),
        "rejected": len(rejected),
        "yield_per_passage": _ratio(len(accepted), len(passages)),
        "passages_without_a_pair": len(passages - {outcome.passage.id for outcome in outcomes if outcome.accepted}),
        "failed_passages": failed_passages(outcomes),
        "requests": work.requests,
        "requests_from_cache": work.cached,
        "prompt_tokens": work.prompt_tokens,
        "reply_tokens": work.reply_tokens,
        "seconds": round(seconds, 1),
        "requests_per_second": _ratio(work.requests, seconds),
        "tokens_per_second": _ratio(work.reply_tokens, seconds),
        "seconds_per_passage": _ratio(seconds, len(passages)),
        "prompts": {outcome.kind: outcome.prompts for outcome in outcomes},
    }
    return (
        report
        | content(accepted)
        | {
            "acceptance": _acceptance(outcomes),
            "rejections": _counts(f"{pair.kind}: {pair.reason}" for pair in rejected),
            "quarantine": failed,
        }
    )


def content(pairs: list[Pair]) -> dict[str, Any]:
    """Counts and lengths of pairs, made here or published."""
    kinds = sorted({pair.kind for pair in pairs})
    by_kind = {kind: [pair for pair in pairs if pair.kind == kind] for kind in kinds}
    return {
        "by_kind": {kind: len(rows) for kind, rows in by_kind.items()},
        "by_source": _counts(pair.source or "published" for pair in pairs),
        "by_round": _counts(f"{pair.kind} round {pair.round}" for pair in pairs),
        "mean_words": {
            kind: {
                "question": _mean(len(pair.question.split()) for pair in rows),
                "answer": _mean(len(pair.answer.split()) for pair in rows),
            }
            for kind, rows in by_kind.items()
        },
    }


def quarantine(outcomes: list[Outcome]) -> dict[str, str]:
    """Id and title of each passage that failed, and why."""
    failed = [outcome for outcome in outcomes if outcome.failure is not None]
    return {f"{one.passage.id} {one.passage.title} ({one.kind})": one.failure or "" for one in failed}


def failed_passages(outcomes: list[Outcome]) -> int:
    """Passages of which any kind failed."""
    return len({outcome.passage.id for outcome in outcomes if outcome.failure is not None})


def _acceptance(outcomes: list[Outcome]) -> Mapping[str, float]:
    kept = Counter(f"{pair.kind} by {pair.source}" for outcome in outcomes for pair in outcome.accepted)
    lost = Counter(f"{pair.kind} by {pair.source}" for outcome in outcomes for pair in outcome.rejected)
    return {name: _ratio(kept[name], kept[name] + lost[name]) for name in sorted(kept | lost)}


def _counts(names: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items()))


def _ratio(part: float, whole: float) -> float:
    return round(part / whole, 3) if whole else 0.0


def _mean(values: Iterable[int]) -> float:
    known = list(values)
    return _ratio(sum(known), len(known))
