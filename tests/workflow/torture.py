"""Harms runs of a small graph in every way a machine can, starts them again, and prints what came of it as a table.

    python tests/workflow/torture.py --kills 100 [--seed 1] [--kills-only]     (make torture)

After each harm a plain restart must end with the same tables, byte for byte, or with one sentence that says what to do;
everything else is a fault, and the program exits 1. The ways are in faults.py and kills.py beside this.
"""

import argparse
import os
import random
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.workflow import faults
from tests.workflow.harm import Outcome, checkout, run, say, tables
from tests.workflow.kills import kills


def torture(folder: Path, *, number: int, seed: int, kills_only: bool = False) -> list[Outcome]:
    """Every harm's outcome; checkouts are made below `folder` and removed."""
    finished = checkout(folder / "finished")
    began = time.monotonic()
    if run(finished):
        raise SystemExit(f"the undisturbed run failed:\n{(finished / 'run.txt').read_text()[-3000:]}")
    seconds, reference = time.monotonic() - began, tables(finished)
    harms = [
        faults.damaged_files(folder, finished, "cut", reference),
        faults.damaged_files(folder, finished, "flip", reference),
        faults.lost_shard(folder, finished, reference),
        faults.damaged_state(folder, finished, reference),
        faults.clock(folder, finished, reference),
        faults.downloads(folder, finished, reference),
        faults.little_memory(folder, finished, reference),
        faults.disks(folder, reference) if os.geteuid() == 0 else iter([]),
    ]
    outcomes = []
    for outcome in (row for harm in harms for row in harm) if not kills_only else ():
        say(f"{outcome.harm}: {outcome.result} {outcome.detail}")
        outcomes.append(outcome)
    return outcomes + kills(folder, number, seconds, random.Random(f"{seed}-kills"), reference)


def main() -> None:
    """Parses the flags, tortures, and prints the table."""
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--kills", type=int, default=100)
    flags.add_argument("--seed", type=int, default=1)
    flags.add_argument("--kills-only", action="store_true")
    given = flags.parse_args()
    with tempfile.TemporaryDirectory(prefix="torture-") as folder:
        outcomes = torture(Path(folder), number=given.kills, seed=given.seed, kills_only=given.kills_only)
    print("| harm | came of it | detail |\n|---|---|---|")
    for outcome in outcomes:
        print(f"| {outcome.harm} | {outcome.result} | {outcome.detail} |")
    sys.exit(not all(outcome.fine for outcome in outcomes))


if __name__ == "__main__":
    main()
