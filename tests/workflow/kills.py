"""Kills at random moments: SIGKILL to the process group of a run, again and again, then its tables compared."""

import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.workflow.harm import LONGEST_SECONDS, SAME, Outcome, checkout, judged, run, say, start, status

A_RUN = 50
"""As many kills a run gets, and a few more where some hit no program."""
BEYOND = 0.2
"""Kills come as far beyond the end of a job, in parts of its length: some fall between two programs, and few miss."""
LIVES = 10
"""As many runs more than these kills need, for jobs that end before they are hit."""


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


def begun(process: "subprocess.Popen[str]", folder: Path, aims: Sequence[str]) -> str:
    """The first of these rules that begins a job, as its log shows, from now on; none when the run ends before."""
    logs, now, until = folder / "logs" / "ci", time.time(), time.monotonic() + LONGEST_SECONDS
    while time.monotonic() < until:
        at_it = {rule_of(path, logs) for path in logs.rglob("*.log") if written(path) > now}
        if first := next((rule for rule in aims if rule in at_it), ""):
            return first
        if ends_before(process, 0.1):
            break
    return ""


def outlives(process: "subprocess.Popen[str]", folder: Path, rule: str, seconds: float, after: float) -> bool:
    """Whether the run is still at work at its moment.

    Args:
        seconds: from now, where the program of `rule` runs as long;
        after: else from its end: on a machine that was busier when it was timed, it ends earlier than expected.
    """
    until, met = time.monotonic() + seconds, False
    while (left := until - time.monotonic()) > 0:
        if rule in at_work(process, folder):
            met = True
        elif met:
            until, met = min(until, time.monotonic() + after), False
        if ends_before(process, min(0.1, left)):
            return False
    return True


def seconds_of(finished: Path) -> dict[str, float]:
    """Rule → seconds that its longest job took in an undisturbed run; the rules in the order of their first ends."""
    folder = finished / "benchmarks" / "ci"
    found: dict[str, float] = {}
    for path in sorted(folder.rglob("*.jsonl"), key=written):
        rule, row = rule_of(path, folder), json.loads(path.read_text().splitlines()[-1])
        found[rule] = max(found.get(rule, 0.0), float(row["s"]))
    return found


def kills(
    folder: Path,
    number: int,
    seconds: dict[str, float],
    chance: random.Random,
    reference: dict[str, bytes],
    aimed_at: Sequence[str] = (),
) -> Iterator[Outcome]:
    """Kills runs so many times, each run some 50 times; one that ended is compared.

    The kills are dealt out evenly over the rules, and each comes at a random moment of its rule's job: between its
    begin and a little after the end that it would have by itself, so that some fall between two jobs. Moments count
    from the begin of the job, for on a busy machine Snakemake may take longer to start than a job to end. Whichever
    rule begins first of those that are due is aimed at, lest a short one pass by while a long one is waited for; one
    whose program was not hit stays due, so that there are a few kills more than asked for.

    Args:
        folder: takes the checkouts.
        seconds: rule → an undisturbed job takes so long.
        aimed_at: the rules among which they are dealt out; none are all.
    """
    among = [rule for rule in seconds if rule in (aimed_at or seconds)]
    due = [among[place % len(among)] for place in range(number)]
    chance.shuffle(due)
    met: Counter[str] = Counter()
    done, lives = 0, 0
    while due and lives < LIVES + number // A_RUN:
        lives += 1
        here, since = checkout(folder / f"killed-{lives}"), done
        aims, due = due[:A_RUN], due[A_RUN:]
        while aims:
            process = start(here)
            if not (aim := begun(process, here, aims)):
                break
            moment, after = (chance.uniform(0, part * seconds[aim]) for part in (1 + BEYOND, BEYOND))
            if not outlives(process, here, aim, moment, after):
                break
            hit = at_work(process, here)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            done += 1
            met.update(hit)
            aims = [rule for rule in aims if rule != aim] + [aim] * (aims.count(aim) - (aim in hit))
            say(f"kill {done}, {len(due) + len(aims)} due, aimed at {aim}: {', '.join(hit) or 'between two programs'}")
        status(process)
        due += aims
        code = run(here)
        yield judged(f"{done - since} kills of run {lives}", here, code, reference)
        shutil.rmtree(here)
    passed = sorted(set(among[:number]) - set(met))
    counts = ", ".join(f"{times}x {rule}" for rule, times in sorted(met.items()))
    yield Outcome(f"{done} kills in all", f"NOT HIT: {', '.join(passed)}" if passed else SAME, counts)
