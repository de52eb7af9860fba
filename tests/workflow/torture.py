"""Harms runs of configs/ci.yaml in every way a machine can, starts them again, and prints what came of it as a table.

    python tests/workflow/torture.py --kills 100 [--seed 1] [--only downloads disks …]     (make torture)

After each harm a plain restart must end with the same tables, byte for byte, or with one sentence that says what to do;
everything else is a fault, and the program exits 1. The ways are in faults.py, bad_disks.py and kills.py beside this.
"""

import argparse
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.workflow import bad_disks, faults
from tests.workflow.harm import Outcome, checkout, run, tables
from tests.workflow.kills import kills, seconds_of

HARMS = ("downloads", "shard", "state", "clock", "memory", "flip", "cut", "disks", "kills")


def torture(
    folder: Path, *, number: int, seed: int, only: Sequence[str] = (), aimed_at: Sequence[str] = ()
) -> Iterator[Outcome]:
    """Every harm's outcome, as it is known.

    Args:
        folder: checkouts are made below it and removed, all but the undisturbed one, which a later call finds there.
        only: names of the harms to do; none are all.
        aimed_at: rules that kills aim at; none are all.
    """
    finished = folder / "finished"
    if not (finished / "results/ci/report/index.html").is_file() and run(checkout(finished)):
        raise SystemExit(f"the undisturbed run failed:\n{(finished / 'run.txt').read_text()[-3000:]}")
    reference = tables(finished)
    given = (folder, finished, reference)
    chance = random.Random(f"{seed}-kills")
    harms = {
        "kills": lambda: kills(folder, number, seconds_of(finished), chance, reference, aimed_at),
        "cut": lambda: faults.damaged_files(folder, finished, "cut", reference),
        "flip": lambda: faults.damaged_files(folder, finished, "flip", reference),
        "shard": lambda: faults.lost_shard(*given),
        "state": lambda: faults.damaged_state(*given),
        "clock": lambda: faults.clock(*given),
        "downloads": lambda: faults.downloads(*given),
        "memory": lambda: faults.little_memory(*given),
        "disks": lambda: bad_disks.disks(*given) if bad_disks.can_mount(folder) else iter([]),
    }
    assert set(harms) == set(HARMS)
    for name in only or HARMS:
        yield from harms[name]()


def main() -> None:
    """Parses the flags, tortures, and prints the table row by row, so that nothing is lost where it is stopped."""
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--kills", type=int, default=100)
    flags.add_argument("--seed", type=int, default=1)
    flags.add_argument("--only", nargs="+", choices=HARMS, default=())
    flags.add_argument("--rules", nargs="+", default=(), help="rules that kills aim at; all where none is named")
    flags.add_argument("--folder", type=Path, help="keeps the undisturbed run for the next call with other harms")
    given = flags.parse_args()
    fine = True
    print("| harm | came of it | detail |\n|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory(prefix="torture-") as temporary:
        folder = given.folder.resolve() if given.folder else Path(temporary)
        outcomes = torture(folder, number=given.kills, seed=given.seed, only=given.only, aimed_at=given.rules)
        for outcome in outcomes:
            print(f"| {outcome.harm} | {outcome.result} | {outcome.detail} |", flush=True)
            fine = fine and outcome.fine
    sys.exit(not fine)


if __name__ == "__main__":
    main()
