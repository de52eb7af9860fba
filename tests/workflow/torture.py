"""Harms runs of a small graph in every way a machine can, starts them again, and prints what came of it as a table.

    python tests/workflow/torture.py --kills 100 [--seed 1]      (make torture)

After each harm a plain restart must end with the same tables, byte for byte, or with one sentence that says what to do;
everything else is a fault, and the program exits 1. Kills are SIGKILL to the whole process group at random moments. The
graph is configs/ci.yaml with one ratio and one benchmark; disks are small tmpfs, which only root can mount.
"""

import argparse
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.workflow.checkout import CI, copy_checkout, environment

RUNNER = "workflow_scripts/run_pipeline.py"
SMALL = "ratios: [4]\nbenchmarks: {hotpotqa: null, musique: null, 2wiki: null}\nevaluation: {baselines: [bm25]}\n"
KEPT = ("report/tables/*", "evaluation/metrics/*.json", "evaluation/predictions/*.jsonl", "*/*/adapters.safetensors")
SAME, SENTENCE = "same tables", "one sentence"


class Outcome(NamedTuple):
    """A row of the table."""

    harm: str
    result: str
    """`same tables`, `one sentence`, or what went wrong."""
    detail: str

    @property
    def fine(self) -> bool:
        """Whether the run came out of it as it must."""
        return self.result in (SAME, SENTENCE)


def checkout(folder: Path) -> Path:
    """A new checkout with the small graph."""
    copy_checkout(folder)
    (folder / "overlay.yaml").write_text(SMALL)
    return folder


def start(folder: Path, before: Callable[[], None] | None = None) -> "subprocess.Popen[str]":
    """A run of the small graph in a process group of its own; what it says goes to run.txt."""
    with (folder / "run.txt").open("w") as output:
        return subprocess.Popen(
            [sys.executable, RUNNER, *CI, "overlay.yaml"],
            cwd=folder,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            text=True,
            start_new_session=True,
            preexec_fn=before,
        )


def run(folder: Path, before: Callable[[], None] | None = None) -> int:
    """The exit status of a run that is left alone."""
    return start(folder, before).wait()


def tables(folder: Path) -> dict[str, bytes]:
    """What must not depend on what happened to a run."""
    results = folder / "results" / "ci"
    return {str(path.relative_to(results)): path.read_bytes() for part in KEPT for path in results.glob(part)}


def judged(harm: str, folder: Path, code: int, reference: dict[str, bytes]) -> Outcome:
    """What came of a run: its tables against the undisturbed ones, or its last words."""
    said = (folder / "run.txt").read_text(errors="replace")
    reasons = [line for line in said.splitlines() if line.startswith("logs/") and ": error: " in line]
    if code == 0:
        found = tables(folder)
        differing = sorted(name for name in reference if found.get(name) != reference[name])
        return Outcome(harm, "WRONG NUMBERS" if differing else SAME, ", ".join(differing[:3]))
    if reasons:
        return Outcome(harm, SENTENCE, reasons[0].split(": error: ", 1)[1])
    return Outcome(harm, "NO SENTENCE", (said.strip().splitlines() or ["nothing"])[-1])


def working(folder: Path) -> str:
    """The rule whose log was written last: at work when the run was killed."""
    logs = sorted((folder / "logs").rglob("*.log"), key=lambda path: path.stat().st_mtime)
    return logs[-1].relative_to(folder / "logs" / "ci").parts[0].removesuffix(".log") if logs else "before any rule"


def kills(
    folder: Path, number: int, seconds: float, chance: random.Random, reference: dict[str, bytes]
) -> list[Outcome]:
    """Kills runs so many times, each after up to a third of `seconds`; a run that ends in between is compared.

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
            try:
                code = process.wait(chance.uniform(1, seconds / 3) if done < number else None)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                done += 1
                met[working(here)] = met.get(working(here), 0) + 1
                print(f"kill {done} of {number}: {working(here)}", file=sys.stderr)
                continue
            outcomes.append(judged(f"{done - since} kills of run {lives}", here, code, reference))
            break
        shutil.rmtree(here)
    outcomes.append(Outcome(f"{done} kills in all", SAME, ", ".join(f"{n}x {rule}" for rule, n in sorted(met.items()))))
    return outcomes


def damage(path: Path, how: str) -> None:
    """Cuts a file in the middle or flips a bit there, and leaves its time as it was, as a failing disk would."""
    content, status = bytearray(path.read_bytes()), path.stat()
    middle = len(content) // 2
    if how == "cut":
        del content[middle:]
    else:
        content[middle] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


DAMAGED = {
    "corpus/passages.parquet": "questions",
    "candidates/nq.train.oracle.jsonl": "instruction",
    "synthesis/pairs.parquet": "pretraining",
    "backbone/card.json": "pretraining",
    "instruction/cr4-base/adapters.safetensors": "compression",
    "compression/instruction-cr4-base/manifest.json": "evaluation/predictions",
    "evaluation/metrics/bm25.json": "report",
}
"""Intermediate file → the results that are made again from it."""


def damaged_files(folder: Path, finished: Path, how: str, reference: dict[str, bytes]) -> Iterator[Outcome]:
    """Each intermediate file cut short or with a flipped bit, when its readers run again."""
    for name, readers in DAMAGED.items():
        here = Path(shutil.copytree(finished, folder / "damaged"))
        damage(here / "results/ci" / name, how)
        shutil.rmtree(here / "results/ci" / readers)
        yield judged(f"{how} {name}", here, run(here), reference)
        shutil.rmtree(here)


def lost_shard(folder: Path, finished: Path, reference: dict[str, bytes]) -> Iterator[Outcome]:
    """A file of the store deleted, when the answers are made again."""
    here = Path(shutil.copytree(finished, folder / "shard"))
    next((here / "results/ci/compression").rglob("*.safetensors")).unlink()
    shutil.rmtree(here / "results/ci/evaluation/predictions")
    yield judged("deleted store shard", here, run(here), reference)
    shutil.rmtree(here)


def damaged_state(folder: Path, finished: Path, reference: dict[str, bytes]) -> Iterator[Outcome]:
    """A training's newest saved state with a flipped bit, when the training goes on from it."""
    here = Path(shutil.copytree(finished, folder / "state"))
    newest = sorted((here / "state/ci/pretrain").rglob("step-*/parameters.safetensors"))[-1]
    damage(newest, "flip")
    shutil.rmtree(here / "results/ci/pretraining")
    yield judged("flipped bit in a saved state", here, run(here), reference)
    shutil.rmtree(here)


def clock(folder: Path, finished: Path, reference: dict[str, bytes]) -> Iterator[Outcome]:
    """All results dated a day ahead, as after a clock that was set back."""
    here = Path(shutil.copytree(finished, folder / "clock"))
    for path in (here / "results").rglob("*"):
        os.utime(path, (time.time() + 86400,) * 2)
    (here / "results/ci/evaluation/predictions/bm25.jsonl").unlink()
    yield judged("clock set back by a day", here, run(here), reference)
    shutil.rmtree(here)


def little_memory(folder: Path, finished: Path, reference: dict[str, bytes]) -> Iterator[Outcome]:
    """A training in an address space too small for it, then a plain restart."""
    here = Path(shutil.copytree(finished, folder / "memory"))
    shutil.rmtree(here / "results/ci/pretraining")
    shutil.rmtree(here / "state")
    limit = 1200 * 2**20
    first = run(here, lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)))
    assert first != 0, "the limit must be felt, or nothing is shown"
    yield judged("restart after a memory limit", here, run(here), reference)
    shutil.rmtree(here)


@contextmanager
def small_disk(folder: Path, options: str) -> Iterator[Path]:
    """A checkout whose results lie on a file system of its own."""
    here = checkout(folder)
    (here / "results").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(here / "results")], check=True)
    try:
        yield here
    finally:
        subprocess.run(["umount", str(here / "results")], check=True)
        shutil.rmtree(here)


def disks(folder: Path, reference: dict[str, bytes]) -> Iterator[Outcome]:
    """A full disk and one that may only be read, each then mended and the run started again."""
    for harm, bad in (("disk of 200 KB", "size=200k"), ("read-only results", "size=200m,ro")):
        with small_disk(folder / "disk", bad) as here:
            yield judged(harm, here, run(here), reference)
            subprocess.run(["mount", "-o", "remount,rw,size=200m", str(here / "results")], check=True)
            yield judged(f"restart after {harm}", here, run(here), reference)


def torture(folder: Path, *, number: int, seed: int, faults: bool = True) -> list[Outcome]:
    """Every harm's outcome; checkouts are made below `folder` and removed."""
    finished = checkout(folder / "finished")
    began = time.monotonic()
    if run(finished):
        raise SystemExit(f"the undisturbed run failed:\n{(finished / 'run.txt').read_text()[-3000:]}")
    seconds, reference = time.monotonic() - began, tables(finished)
    harms = [
        damaged_files(folder, finished, "cut", reference),
        damaged_files(folder, finished, "flip", reference),
        lost_shard(folder, finished, reference),
        damaged_state(folder, finished, reference),
        clock(folder, finished, reference),
        little_memory(folder, finished, reference),
        disks(folder, reference) if os.geteuid() == 0 else iter([]),
    ]
    outcomes = []
    for outcome in (row for harm in harms for row in harm) if faults else ():
        print(f"{outcome.harm}: {outcome.result}", file=sys.stderr)
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
        outcomes = torture(Path(folder), number=given.kills, seed=given.seed, faults=not given.kills_only)
    print("| harm | came of it | detail |\n|---|---|---|")
    for outcome in outcomes:
        print(f"| {outcome.harm} | {outcome.result} | {outcome.detail} |")
    sys.exit(not all(outcome.fine for outcome in outcomes))


if __name__ == "__main__":
    main()
