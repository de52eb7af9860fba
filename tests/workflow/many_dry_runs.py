"""What many configurations would run, by one process that loads Snakemake once and forks for each of them.

    python tests/workflow/many_dry_runs.py OVERLAYS.json PLANS.json SNAKEMAKE-ARGUMENTS…

Reads a list of mappings to lay over the configuration, or of lists of further arguments, and writes a list of mappings:
rule → number of jobs. Snakemake is asked each time in the current folder, in earnest; only Python's imports and the
parsing of the project's code, which takes the most time, are shared.
"""

import contextlib
import functools
import io
import json
import os
import re
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

import yaml


def jobs(output: str) -> dict[str, int]:
    """Rule → number of jobs, from what a dry run prints; collecting rules left out."""
    table = re.search(r"job +count\n-+ +-+\n(.*?)\ntotal ", output, re.DOTALL)
    rows = [line.split() for line in table[1].splitlines()] if table else []
    return {name: int(count) for name, count in rows if name != "all"}


Asked = dict[str, Any] | list[str]
"""What is laid over the configuration, or arguments more."""


def dry_run(arguments: list[str], numbered: tuple[int, Asked]) -> dict[str, int]:
    """The plan of one configuration, or of one command.

    Raises:
        RuntimeError: Snakemake refused it.
    """
    from snakemake.cli import main

    number, asked = numbered
    if isinstance(asked, dict):
        Path(f"overlay-{number}.yaml").write_text(yaml.safe_dump(asked), encoding="utf-8")
    words = [f"overlay-{number}.yaml"] if isinstance(asked, dict) else asked
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
        try:
            main(["-n", *arguments, *words])
        except SystemExit as end:
            if end.code:
                raise RuntimeError(f"{asked}: {text.getvalue()}") from None
    return jobs(text.getvalue())


def planned_apart(arguments: list[str], numbered: tuple[int, Asked]) -> int:
    """The process number of a fork that writes the plan of one configuration to `plan-NUMBER.json` and ends.

    Forked from the main thread while no other runs: a fork beside threads may inherit a lock that nobody will free, as
    the workers of `multiprocessing.Pool` now and then did.
    """
    if threading.active_count() > 1:
        raise RuntimeError(f"threads would be lost in a fork: {threading.enumerate()}")
    if child := os.fork():
        return child
    status = 1
    try:
        Path(f"plan-{numbered[0]}.json").write_text(json.dumps(dry_run(arguments, numbered)), encoding="utf-8")
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def wait_for_one(running: set[int]) -> None:
    """Waits until one of the forks has ended and takes it out of `running`.

    Raises:
        RuntimeError: it failed.
    """
    child, status = os.wait()
    running.remove(child)
    if status:
        raise RuntimeError(f"a dry run ended with status {status}")


def main() -> None:
    """Reads the overlays, asks for each, writes the plans."""
    source, target, *arguments = sys.argv[1:]
    overlays = list(enumerate(json.loads(Path(source).read_text(encoding="utf-8")), 1))
    sys.path.insert(0, os.getcwd())

    from clara import plan

    plan.Project = functools.cache(plan.Project)  # type: ignore[misc, assignment]
    dry_run(
        arguments, (0, {} if isinstance(overlays[0][1], dict) else overlays[0][1])
    )  # fills the caches that the forks inherit
    running: set[int] = set()
    for numbered in overlays:
        if len(running) == len(os.sched_getaffinity(0)):
            wait_for_one(running)
        running.add(planned_apart(arguments, numbered))
    while running:
        wait_for_one(running)
    plans = [json.loads(Path(f"plan-{number}.json").read_text(encoding="utf-8")) for number, _ in overlays]
    Path(target).write_text(json.dumps(plans), encoding="utf-8")


if __name__ == "__main__":
    main()
