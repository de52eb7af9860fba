"""Headline sentences of a run, each counted from its numbers."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from clara.evaluation.comparisons import COMPARED, Comparison
from clara.evaluation.figures import Chance
from clara.evaluation.labels import metric_label, setting_label, system_label, system_name
from clara.evaluation.results import CheckpointUse, History, SystemScore
from clara.evaluation.scoring import AVERAGE

Mood = Literal["good", "bad", "mixed"]


class Finding(NamedTuple):
    """One headline sentence."""

    mood: Mood
    text: str


def findings(
    uses: Sequence[CheckpointUse],
    histories: Sequence[History],
    scores: Sequence[SystemScore],
    comparisons: Sequence[Comparison],
    chance: Chance,
) -> list[Finding]:
    """The headline sentences of a run, each counted from its numbers."""
    return [
        *_memory_findings(uses),
        *_loss_findings(histories),
        *_comparison_findings(comparisons),
        *_chance_findings(scores, chance),
    ]


def _memory_findings(uses: Sequence[CheckpointUse]) -> list[Finding]:
    if not uses:
        return []
    without = [row.checkpoint.label for row in uses if not row.use.used]
    text = (
        f"Memory use: in {len(uses) - len(without)} of {len(uses)} checkpoints the right document's memories give a "
        f"lower loss than another document's, with the whole {uses[0].use.confidence:.0%} interval above zero"
    )
    return [
        Finding(
            _mood(len(without), len(uses)), f"{text}; not shown for {', '.join(without)}." if without else f"{text}."
        )
    ]


def _loss_findings(histories: Sequence[History]) -> list[Finding]:
    losses = {history.checkpoint.label: history.losses("validation") for history in histories}
    losses = {label: values for label, values in losses.items() if len(values) > 1}
    if not losses:
        return []
    risen = [label for label, values in losses.items() if values[-1][1] >= values[0][1]]
    fallen = f"{len(losses) - len(risen)} of {len(losses)} runs"
    text = f"Training: the validation loss fell from the first to the last step in {fallen}"
    return [
        Finding(_mood(len(risen), len(losses)), f"{text}; it did not for {', '.join(risen)}." if risen else f"{text}.")
    ]


def _mood(failures: int, total: int) -> Mood:
    return "good" if not failures else "bad" if failures == total else "mixed"


def _comparison_findings(comparisons: Sequence[Comparison]) -> list[Finding]:
    result = []
    answers = [row for row in comparisons if row.metric == COMPARED[0]]
    cuts = [row.metric for row in comparisons if row.metric.startswith("recall@")]
    recall = [row for row in comparisons if cuts and row.metric == cuts[-1]]
    for place in dict.fromkeys((row.setting, row.metric, row.baseline) for row in [*answers, *recall]):
        rows = [row for row in comparisons if (row.setting, row.metric, row.baseline) == place]
        count = {word: sum(row.estimate.verdict == word for row in rows) for word in ("above", "below", "unclear")}
        setting, metric, baseline = place
        gaps = " to ".join(dict.fromkeys(f"{gap:+.1f}" for gap in _ends([row.estimate.value for row in rows])))
        mood: Mood = "mixed"
        if len(rows) in (count["above"], count["below"]):
            mood = "good" if count["above"] else "bad"
        result.append(
            Finding(
                mood,
                f"{setting_label(setting)}, {metric_label(metric)} against {system_label(baseline)}: CLaRa is higher "
                f"in {count['above']}, lower in {count['below']} and not clearly different in {count['unclear']} of "
                f"{len(rows)} systems ({gaps} points on average over benchmarks).",
            )
        )
    return result


def _ends(values: Sequence[float]) -> tuple[float, float]:
    return min(values), max(values)


def _chance_findings(scores: Sequence[SystemScore], chance: Chance) -> list[Finding]:
    result = []
    averages = [row for row in scores if row.score.benchmark == AVERAGE and system_name(row.system)]
    for (setting, metric, benchmark), level in chance.items():
        rows = [row.score for row in averages if (row.score.setting, row.score.metric) == (setting, metric)]
        if benchmark == AVERAGE and rows and setting == "oracle":
            above = sum(score.low > level for score in rows)
            text = (
                f"{setting_label(setting)}, {metric_label(metric)}: {above} of {len(rows)} CLaRa systems rank better "
                f"than a random order, which would reach {level:.1f} %."
            )
            result.append(Finding(_mood(len(rows) - above, len(rows)), text))
    return result
