"""Kills at random moments: SIGKILL to the process group of a run, again and again, then its tables compared."""

import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

from clara.config.rules import RULES
from tests.workflow.harm import SAME, Outcome, checkout, judged, say, start, status

ABSENT = {"answer_as_teacher", "tune_text_rag", "predict_baseline", "predict_compressed_text", "predict_released"}
KILLED = sorted(RULES.keys() - ABSENT - {"rank_neural"} | {"collect_documents"})
"""The rules of the small graph."""


def logs_of(folder: Path, rule: str = "") -> list[Path]:
    """The log files of a rule, or of all, the one written last at the end."""
    logs = folder / "logs" / "ci"
    found = [path for path in logs.rglob("*.log") if rule in ("", rule_of(path, logs))]
    return sorted(found, key=written)


def written(path: Path) -> float:
    """When a file was written; zero for one that was just taken away, as Snakemake does with old logs."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def rule_of(path: Path, folder: Path) -> str:
    """The rule that a log or benchmark below `folder` belongs to."""
    return path.relative_to(folder).parts[0].removesuffix(path.suffix)


def working(folder: Path) -> str:
    """The rule whose log was written last: at work when the run was killed."""
    logs = logs_of(folder)
    return rule_of(logs[-1], folder / "logs" / "ci") if logs else "before any rule"


def ends_before(process: "subprocess.Popen[str]", seconds: float) -> bool:
    """Whether the run ends by itself within so many seconds."""
    try:
        process.wait(max(0.0, seconds))
    except subprocess.TimeoutExpired:
        return False
    return True


def outlives(process: "subprocess.Popen[str]", folder: Path, rule: str, moment: float, longest: float) -> bool:
    """Whether the run is still at work at its moment: so many seconds after `rule` has begun.

    Args:
        rule: waited for, as its log begins with its job; the empty text takes the first job of the run.
        longest: the rule is waited for so many seconds.
    """
    began, until = time.time(), time.monotonic() + longest
    while not any(written(path) > began for path in logs_of(folder, rule)[-1:]):
        if ends_before(process, 0.1) or time.monotonic() > until:
            break
    return not ends_before(process, moment)


def target(folder: Path, met: dict[str, int], chance: random.Random) -> str:
    """For every second kill, the rule that was killed least of those that the checkout has not finished."""
    benchmarks = folder / "benchmarks" / "ci"
    finished = {rule_of(path, benchmarks) for path in benchmarks.rglob("*.jsonl")}
    left = [rule for rule in KILLED if rule not in finished]
    if not left or chance.random() < 0.5:
        return ""
    least = min(met.get(rule, 0) for rule in left)
    return chance.choice([rule for rule in left if met.get(rule, 0) == least])


def kills(
    folder: Path, number: int, seconds: float, chance: random.Random, reference: dict[str, bytes]
) -> list[Outcome]:
    """Kills runs so many times; a run that ends in between is compared.

    Half of the kills come at a random moment after the run's first job has begun, half within four seconds of the begin
    of a rule that was killed seldom: without these, short rules would hardly be met. Moments count from the begin of a
    job, for on a busy machine Snakemake may take longer to start than a job to end.

    Args:
        folder: takes the checkouts.
        seconds: an undisturbed run takes so long.
    """
    met: dict[str, int] = {}
    outcomes: list[Outcome] = []
    done, lives = 0, 0
    while done < number:
        lives += 1
        here, since = checkout(folder / f"killed-{lives}"), done
        while True:
            process = start(here)
            if done < number:
                rule = target(here, met, chance)
                moment = chance.uniform(0, 4) if rule else chance.uniform(0, seconds / 4)
                if outlives(process, here, rule, moment, seconds):
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
                    done += 1
                    met[working(here)] = met.get(working(here), 0) + 1
                    say(f"kill {done} of {number}: {working(here)}")
                    continue
            outcomes.append(judged(f"{done - since} kills of run {lives}", here, status(process), reference))
            say(f"{outcomes[-1].harm}: {outcomes[-1].result} {outcomes[-1].detail}")
            break
        shutil.rmtree(here)
    outcomes.append(Outcome(f"{done} kills in all", SAME, ", ".join(f"{n}x {rule}" for rule, n in sorted(met.items()))))
    return outcomes
