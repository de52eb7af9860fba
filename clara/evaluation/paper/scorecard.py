"""The scorecard as files: every claim with its test, the measured difference, and what follows from it."""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from clara.evaluation.comparisons import by_metric
from clara.evaluation.paper.commands import Run, command_for, obstacle, pools_for
from clara.evaluation.paper.judging import JudgedClaim, Verdict
from clara.evaluation.paper.measuring import SystemScores
from clara.evaluation.paper.writing import BACKBONES
from clara.evaluation.scoring import check
from clara.evaluation.tables import escape_latex
from clara.records import Prediction
from clara.row_files import read_rows

WORDS: dict[Verdict, str] = {
    "holds": "holds",
    "fails": "fails",
    "undecided": "undecided at this size",
    "not run": "not run",
}
"""Verdicts as they are written."""
COLUMNS = (
    "name", "verdict", "claim", "place", "metric", "setting", "first", "second", "margin",
    "difference", "low", "high", "questions", "seeds", "paper_difference", "paper_at", "command",
)  # fmt: skip
DECIMALS = 6


def read_question_scores(files: Iterable[Path], recall_cuts: Sequence[int]) -> SystemScores:
    """Every question's value of every metric, by system and setting.

    Raises:
        DataError: a file is no file of predictions of one system.
    """
    found: dict[tuple[str, str, str], dict[str, dict[str, float]]] = {}
    for path in files:
        rows = read_rows(Prediction, path)
        check(rows, str(path))
        for setting, metrics in by_metric(rows, recall_cuts).items():
            found.update({(rows[0].system, setting, metric): scores for metric, scores in metrics.items()})
    return found


def as_json(
    findings: Sequence[JudgedClaim], *, run: Run, backbone: str, confidence: float, departures: str = ""
) -> dict[str, Any]:
    """The content of `scorecard.json`; `departures` says where the run's base is not the paper's."""
    counts = Counter(finding.verdict for finding in findings)
    return {
        "run": run.name,
        "compared_with": backbone,
        "confidence": confidence,
        "departures": departures,
        "command": _completing(findings, run),
        "counts": {WORDS[verdict]: counts[verdict] for verdict in WORDS},
        "claims": [_row(finding, run) for finding in findings],
    }


def _completing(findings: Sequence[JudgedClaim], run: Run) -> str:
    """The command that makes all that was not run and can be, and the scorecard with it; empty where nothing can."""
    makeable = [found for found in findings if _wanted(found) and not _obstacle(found, run)]
    return _command_for(makeable, run) if makeable else ""


def _wanted(finding: JudgedClaim) -> list[str]:
    """The systems that a claim lacks: both where it was not run, else those under further seeds."""
    return finding.needed if finding.measured is None else finding.measured.lacking


def _command_for(findings: Sequence[JudgedClaim], run: Run) -> str:
    """What makes both cells of each, at the run's ratios or the least that the claim allows, and the scorecard."""
    settings: dict[str, Any] = {}
    for finding in findings:
        settings |= pools_for(finding.claim.setting, run.name)
    systems = dict.fromkeys(name for finding in findings for name in _wanted(finding))
    targets = [f"results/{run.name}/evaluation/metrics/{name}.json" for name in systems]
    return command_for([*targets, f"results/{run.name}/paper/scorecard.csv"], run.name, settings=settings)


def _obstacle(finding: JudgedClaim, run: Run) -> str:
    """Why nothing makes one of the claim's cells; empty where a command does."""
    return next(filter(None, (obstacle(name, run) for name in _wanted(finding))), "")


def _row(finding: JudgedClaim, run: Run) -> dict[str, Any]:
    claim, estimate, measured = finding.claim, finding.estimate, finding.measured
    by_seed = measured.by_seed if measured else {}
    return {
        "name": claim.name,
        "claim": claim.claim,
        "place": claim.place,
        "test": claim.test,
        "metric": claim.metric,
        "setting": claim.setting,
        "first": claim.first,
        "second": claim.second,
        "margin": claim.margin,
        "compared": [list(pair) for pair in finding.pairs],
        "difference": _rounded(estimate and estimate.value),
        "low": _rounded(estimate and estimate.low),
        "high": _rounded(estimate and estimate.high),
        "questions": estimate.n if estimate else 0,
        "by_benchmark": {name: _rounded(value) for name, value in measured.by_benchmark.items()} if measured else {},
        "seeds": len(by_seed) or int(measured is not None),
        "by_seed": {str(seed): _rounded(value) for seed, value in by_seed.items()},
        "verdict": WORDS[finding.verdict],
        "paper_difference": _rounded(finding.paper),
        "paper_at": finding.paper_at,
        "commands": [_obstacle(finding, run) or _command_for([finding], run)] if _wanted(finding) else [],
        "alike": not finding.needed,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, DECIMALS)


def as_metrics(content: dict[str, Any]) -> dict[str, Any]:
    """Verdict and difference in points of each claim that was run, for `dvc metrics`."""
    run = [row for row in content["claims"] if row["difference"] is not None]
    return {row["name"]: {"verdict": row["verdict"], "difference": row["difference"]} for row in run}


def as_csv(content: dict[str, Any]) -> str:
    """The same, a line a claim."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in content["claims"]:
        writer.writerow(["".join(row["commands"]) if name == "command" else row[name] for name in COLUMNS])
    return text.getvalue()


def as_markdown(content: dict[str, Any]) -> str:
    """The same for people."""
    counts = ", ".join(f"{number} {verdict}" for verdict, number in content["counts"].items())
    head = ("Claim", "Verdict", "Difference", "Interval", "Paper's", "Test", "Place")
    lines = ["| " + " | ".join(head) + " |", "| --- | --- | --: | --- | --: | --- | --- |"]
    for row in content["claims"]:
        run = row["difference"] is not None
        test = f"`{row['test']}`"
        paper = "" if row["paper_difference"] is None else f"{row['paper_difference']:+z.1f}"
        paper += f" ({row['paper_at']})" if row["paper_at"] else ""
        shown = [f"{row['difference']:+z.1f}", f"[{row['low']:z.1f}, {row['high']:z.1f}]"] if run else ["", ""]
        if row["by_seed"]:
            shown[0] += f" {{{', '.join(f'{value:+z.1f}' for value in row['by_seed'].values())}}}"
        cells = [row["claim"], f"**{row['verdict']}**", *shown, paper, test, row["place"]]
        lines.append("| " + " | ".join(cells) + " |")
    absent, seedless = (
        [
            f"- {row['claim']}: `{line}`"
            for row in content["claims"]
            if (row["seeds"] > 0) == run
            for line in row["commands"]
        ]
        for run in (False, True)
    )
    alike = [f"- {row['claim']}" for row in content["claims"] if row["alike"]]
    parts = [
        f"## Scorecard: {counts}",
        f"Run `{content['run']}`; the paper's differences are those of {BACKBONES[content['compared_with']]}. A "
        f"difference is first minus second in points, macro mean over benchmarks on the same questions, with its "
        f"{content['confidence']:.0%} interval (paired bootstrap). A claim holds where the whole interval lies "
        f"above the margin, fails where it lies below.{_about_seeds(content)} In parentheses stands where the paper's "
        "difference is of other ratios or benchmarks than ours; it counts the first gold answer alone, ours the best "
        "of all. Intervals are not corrected for the number of claims.",
        *([content["departures"]] if content["departures"] else []),
        "\n".join(lines),
        *(["What makes the answers of those that were not run:\n\n" + "\n".join(absent)] if absent else []),
        *(["What makes those that lack some of the run's seeds:\n\n" + "\n".join(seedless)] if seedless else []),
        *(["This run's settings make both sides the same, so it cannot tell:\n\n" + "\n".join(alike)] if alike else []),
        *([f"All that can be made, and the scorecard with it: `{content['command']}`"] if content["command"] else []),
    ]
    return "\n\n".join(parts) + "\n"


def _about_seeds(content: dict[str, Any]) -> str:
    if not any(row["by_seed"] for row in content["claims"]):
        return ""
    return (
        " Over several seeds (difference under each in braces) a question counts by its mean, and the interval spans "
        "their scatter as well (Student's t), of a baseline's own training that of one."
    )


def as_latex(content: dict[str, Any]) -> str:
    """The same for the package booktabs, without tests and commands."""
    caption = f"Claims of the paper on run {content['run']}, differences in points"
    caption = escape_latex(f"{caption}. {content['departures']}" if content["departures"] else caption)
    out = [r"\begin{table}", rf"\caption{{{caption}}}", r"\begin{tabular}{p{.5\linewidth}lrr}", r"\toprule"]
    out += [r"Claim & Verdict & Difference & Paper's \\", r"\midrule"]
    for row in content["claims"]:
        ours = "--"
        if row["difference"] is not None:
            ours = rf"{row['difference']:+z.1f} {{\scriptsize [{row['low']:z.1f}, {row['high']:z.1f}]}}"
        paper = "--" if row["paper_difference"] is None else f"{row['paper_difference']:+z.1f}"
        out.append(" & ".join([escape_latex(row["claim"]), row["verdict"], ours, paper]) + r" \\")
    return "\n".join([*out, r"\bottomrule", r"\end{tabular}", r"\end{table}", ""])
