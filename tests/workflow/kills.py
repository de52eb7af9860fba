"""Kills at random moments: SIGKILL to the process group of a run, again and again, then its tables compared."""

import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tests.workflow.harm import LONGEST_SECONDS, SAME, Outcome, checkout, judged, run, say, start

A_RUN = 25
"""As many kills a run gets."""
LIVES = 10
"""As many runs more than these kills need, for jobs that end before they are hit."""


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


def at_work(process: "subprocess.Popen[str]", folder: Path) -> list[str]:
    """The rules whose programs run in the group of a run."""
    programs = {path.stem for path in (folder / "workflow_scripts").glob("*.py")} - {"run_pipeline", "launch"}
    found = set()
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if os.getpgid(int(place.name)) == process.pid:
                words = (place / "cmdline").read_text(errors="replace").split("\0")
                # The command of the shell that waits for a program names it, too, within one word.
                found |= {Path(word).stem for word in words if word.startswith("workflow_scripts/")} & programs
        except OSError:  # it ended meanwhile
            continue
    return sorted(found)


def ends_before(process: "subprocess.Popen[str]", seconds: float) -> bool:
    """Whether the run ends by itself within so many seconds."""
    try:
        process.wait(max(0.0, seconds))
    except subprocess.TimeoutExpired:
        return False
    return True


def outlives(process: "subprocess.Popen[str]", folder: Path, rule: str, moment: float) -> bool:
    """Whether the run is still at work at its moment: so many seconds after `rule` has begun.

    Args:
        rule: waited for, as its log begins with its job.
    """
    began, until = time.time(), time.monotonic() + LONGEST_SECONDS
    while not any(written(path) > began for path in logs_of(folder, rule)[-1:]):
        if ends_before(process, 0.1) or time.monotonic() > until:
            break
    return not ends_before(process, moment)


def seconds_of(finished: Path) -> dict[str, float]:
    """Rule → seconds that its longest job took in an undisturbed run; the rules in the order of their first ends."""
    folder = finished / "benchmarks" / "ci"
    found: dict[str, float] = {}
    for path in sorted(folder.rglob("*.jsonl"), key=written):
        rule, row = rule_of(path, folder), json.loads(path.read_text().splitlines()[-1])
        found[rule] = max(found.get(rule, 0.0), float(row["s"]))
    return found


def next_aim(aims: list[str], order: Iterable[str], folder: Path) -> str:
    """The rule to be killed next: the first in order that this checkout has not finished; it is taken off the list."""
    benchmarks = folder / "benchmarks" / "ci"
    finished = {rule_of(path, benchmarks) for path in benchmarks.rglob("*.jsonl")}
    aim = next((rule for rule in order if rule in aims and rule not in finished), "")
    if aim:
        aims.remove(aim)
    return aim


def kills(
    folder: Path,
    number: int,
    seconds: dict[str, float],
    chance: random.Random,
    reference: dict[str, bytes],
    aimed_at: Sequence[str] = (),
) -> Iterator[Outcome]:
    """Kills runs so many times, each run some 25 times; one that ended is compared.

    The kills are dealt out evenly over the rules, and each comes at a random moment of its rule's job: between its
    begin and a second after the end that it would have by itself, so that some fall between two jobs. Moments count
    from the begin of the job, for on a busy machine Snakemake may take longer to start than a job to end.

    Args:
        folder: takes the checkouts.
        seconds: rule → an undisturbed job takes so long; the rules in the order of a run.
        aimed_at: the rules among which they are dealt out; none are all.
    """
    among = [rule for rule in seconds if rule in (aimed_at or seconds)]
    rules = [among[place % len(among)] for place in range(number)]
    chance.shuffle(rules)
    met: dict[str, int] = {}
    done, lives = 0, 0
    while done < number and lives < LIVES + number // A_RUN:
        lives += 1
        here, since = checkout(folder / f"killed-{lives}"), done
        aims, rules = rules[:A_RUN], rules[A_RUN:]
        while aim := next_aim(aims, seconds, here):
            process = start(here)
            if not outlives(process, here, aim, chance.uniform(0, seconds[aim] + 1)):
                break
            hit = at_work(process, here) or ["between two programs"]
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            done += 1
            for rule in hit:
                met[rule] = met.get(rule, 0) + 1
            say(f"kill {done} of {number}, aimed at {aim}: {', '.join(hit)}")
        rules += aims + [aim] * bool(aim)
        code = run(here)
        yield judged(f"{done - since} kills of run {lives}", here, code, reference)
        shutil.rmtree(here)
    yield Outcome(f"{done} kills in all", SAME, ", ".join(f"{n}x {rule}" for rule, n in sorted(met.items())))
