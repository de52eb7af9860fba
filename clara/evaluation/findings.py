"""Headline sentences of a run, each counted from its numbers."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from clara.evaluation.comparisons import COMPARED, Comparison
from clara.evaluation.figures import Chance
from clara.evaluation.labels import metric_label, setting_label, system_label, system_name
from clara.evaluation.results import CheckpointUse, History, SystemScore
from clara.evaluation.scoring import AVERAGE

Mood = Literal["good", "bad", "mixed", "unclear"]


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
        f"lower loss than another document's, with the whole {uses[0].use.confidence * 100:g} % interval above zero"
    )
    ending = f"; not shown for {', '.join(without)}." if without else "."
    return [Finding(_mood(len(without), len(uses)), text + ending)]


def _loss_findings(histories: Sequence[History]) -> list[Finding]:
    losses = {history.checkpoint.label: history.losses("validation") for history in histories}
    losses = {label: values for label, values in losses.items() if len(values) > 1}
    if not losses:
        return []
    risen = [label for label, values in losses.items() if values[-1][1] >= values[0][1]]
    fallen = f"{len(losses) - len(risen)} of {len(losses)} runs"
    text = f"Training: the validation loss is lower at the last step than at the first in {fallen}"
    ending = f"; not for {', '.join(risen)}." if risen else "."
    return [Finding(_mood(len(risen), len(losses)), text + ending)]


def _mood(failures: int, total: int) -> Mood:
    return "good" if not failures else "bad" if failures == total else "mixed"


def _comparison_findings(comparisons: Sequence[Comparison]) -> list[Finding]:
    """A sentence for each setting and baseline, on the first answer metric and the widest recall."""
    recalls = [row.metric for row in comparisons if row.metric.startswith("recall@")]
    headline = [COMPARED[0], *recalls[-1:]]
    places = [(row.setting, row.metric, row.baseline) for row in comparisons if row.metric in headline]
    return [
        _comparison_finding([row for row in comparisons if (row.setting, row.metric, row.baseline) == place])
        for place in dict.fromkeys(places)
    ]


def _comparison_finding(rows: Sequence[Comparison]) -> Finding:
    """The sentence on all CLaRa systems against one baseline."""
    above, below = (sum(row.estimate.verdict == side for row in rows) for side in ("above", "below"))
    moods: dict[tuple[int, int], Mood] = {(len(rows), 0): "good", (0, len(rows)): "bad", (0, 0): "unclear"}
    gaps = sorted(row.estimate.value for row in rows)
    span = " to ".join(dict.fromkeys(f"{gap:+.1f}" for gap in (gaps[0], gaps[-1])))
    setting, metric, baseline = setting_label(rows[0].setting), metric_label(rows[0].metric), rows[0].baseline
    return Finding(
        moods.get((above, below), "mixed"),
        f"{setting}: better {metric} than {system_label(baseline)} in {above} of {len(rows)} CLaRa systems, worse in "
        f"{below}, not clearly different in {len(rows) - above - below} ({span} points, averaged over benchmarks).",
    )


def _chance_findings(scores: Sequence[SystemScore], chance: Chance) -> list[Finding]:
    """A sentence for each setting, on the widest recall, whether the order found is better than a random one."""
    levels = {(setting, metric): level for (setting, metric, part), level in chance.items() if part == AVERAGE}
    result = []
    for setting in dict.fromkeys(setting for setting, _ in levels):
        metric = [name for place, name in levels if place == setting][-1]
        level = levels[setting, metric]
        place = (setting, metric, AVERAGE)
        rows = [row for row in scores if (row.score.setting, row.score.metric, row.score.benchmark) == place]
        lows = [row.score.low for row in rows if system_name(row.system)]
        above = sum(low > level for low in lows)
        text = (
            f"{setting_label(setting)}: better {metric_label(metric)} than a random order ({level:.1f} %) in {above} "
            f"of {len(lows)} CLaRa systems."
        )
        if lows:
            result.append(Finding(_mood(len(lows) - above, len(lows)), text))
    return result
