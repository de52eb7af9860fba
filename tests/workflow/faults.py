"""Faults of disks, files, clocks, memory and networks: each met by a run, which is then started again plainly.

Disks are small tmpfs, which only root can mount.
"""

import hashlib
import json
import os
import re
import resource
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.workflow import bad_server
from tests.workflow.harm import SAME, SENTENCE, SMALL, Outcome, checkout, judged, run


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
    "corpus/source/dump": "corpus/passages.parquet",
    "corpus/passages.parquet": "questions",
    "backbone/card.json": "joint/instruction-cr4-base/memory_use.json",
    "backbone/model/model.safetensors": "joint/instruction-cr4-base/memory_use.json",
    "backbone/model/tokenizer.json": "joint/instruction-cr4-base/memory_use.json",
    "questions/nq.test.jsonl": "candidates",
    "candidates/nq.train.oracle.jsonl": "instruction",
    "candidates/nq.test.oracle.jsonl": "evaluation/predictions/bm25.jsonl",
    "synthesis/pairs.parquet": "pretraining",
    "pretraining/cr4-base/adapters.safetensors": "pretraining/cr4-base/memory_use.json",
    "pretraining/cr4-base/history.jsonl": "pretraining/cr4-base/memory_use.json",
    "pretraining/cr4-base/memory_use.json": "report",
    "instruction/cr4-base/card.json": "instruction/cr4-base/memory_use.json",
    "joint/instruction-cr4-base/adapters.safetensors": "joint/instruction-cr4-base/memory_use.json",
    "compression/instruction-cr4-base/manifest.json": "evaluation/predictions/instruction-cr4-base.jsonl",
    "compression/instruction-cr4-base/memories-00000.safetensors": "evaluation/predictions/instruction-cr4-base.jsonl",
    "compression/instruction-cr4-base/documents.parquet": "evaluation/predictions/instruction-cr4-base.jsonl",
    "evaluation/predictions/bm25.jsonl": "evaluation/metrics/bm25.json",
    "evaluation/metrics/bm25.json": "report",
}
"""Intermediate file → what is made again from it."""


def remove(path: Path) -> None:
    """Deletes a file or a folder."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def damaged_files(
    folder: Path, finished: Path, how: str, reference: dict[str, bytes], names: Iterable[str] = DAMAGED
) -> Iterator[Outcome]:
    """Each intermediate file cut short or with a flipped bit, when its readers run again.

    Where the run ends in a sentence, that is followed, by deleting what it names, and the tables must come.
    """
    for name in names:
        here = Path(shutil.copytree(finished, folder / "damaged"))
        results = here / "results/ci"
        damage(results / name, how)
        remove(results / DAMAGED[name])
        first = judged(f"{how} {name}", here, run(here), reference)
        yield first
        if first.result == SENTENCE:
            remove(here / to_delete(first.detail, f"results/ci/{name}"))
            again = judged(f"{how} {name}, its sentence followed", here, run(here), reference)
            yield again if again.result == SAME else again._replace(result="NOT MENDED")
        shutil.rmtree(here)


def to_delete(sentence: str, otherwise: str) -> str:
    """The file of the run that a sentence says to delete; `otherwise` where it says `it`."""
    found = re.search(r"delete (\S*results/ci/[^\s;,]+)", sentence)
    return found[1] if found else otherwise


def lost_shard(folder: Path, finished: Path, reference: dict[str, bytes]) -> Iterator[Outcome]:
    """A file of the store deleted, when the answers are made again; then what the sentence says."""
    here = Path(shutil.copytree(finished, folder / "shard"))
    store = here / "results/ci/compression/instruction-cr4-base"
    next(store.glob("*.safetensors")).unlink()
    remove(here / "results/ci/evaluation/predictions/instruction-cr4-base.jsonl")
    first = judged("deleted store shard", here, run(here), reference)
    yield first
    if first.result == SENTENCE:
        remove(here / to_delete(first.detail, str(store / "manifest.json")))
        yield judged("deleted store shard, its sentence followed", here, run(here), reference)
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
def small_disk(here: Path, name: str, options: str) -> Iterator[Path]:
    """A folder of the checkout on a file system of its own."""
    (here / name).mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(here / name)], check=True)
    try:
        yield here
    finally:
        subprocess.run(["umount", str(here / name)], check=True)


DISKS = {
    "results on a disk of 200 KB": ("results", "size=200k"),
    "results on a disk of 900 KB": ("results", "size=900k"),
    "states on a disk of 400 KB": ("state", "size=400k"),
    "logs on a disk of 8 KB": ("logs", "size=8k"),
    "read-only results": ("results", "size=200m,ro"),
    "read-only states": ("state", "size=200m,ro"),
}
"""Harm → the folder that lies on a bad disk, and how that is mounted."""


def disks(folder: Path, reference: dict[str, bytes], harms: Iterable[str] = DISKS) -> Iterator[Outcome]:
    """Full disks and such that may only be read, each then mended and the run started again."""
    for harm in harms:
        name, bad = DISKS[harm]
        here = checkout(folder / "disk")
        with small_disk(here, name, bad):
            yield judged(harm, here, run(here), reference)
            subprocess.run(["mount", "-o", "remount,rw,size=200m", str(here / name)], check=True)
            yield judged(f"{harm}, mended", here, run(here), reference)
        shutil.rmtree(here)


def downloads(folder: Path, finished: Path, reference: dict[str, bytes]) -> Iterator[Outcome]:
    """The corpus from a server that misbehaves, then from the same address when it has come to its senses.

    Only the corpus is made: passages that are the same bytes give the same tables.
    """
    content = (finished / "results/ci/corpus/source/dump").read_bytes()
    wanted = (finished / "results/ci/corpus/passages.parquet").read_bytes()
    for behaviour in bad_server.BEHAVIOURS:
        here = checkout(folder / "download")
        with bad_server.serving(content, behaviour) as server:
            source = {"location": server.url, "sha256": hashlib.sha256(content).hexdigest(), "format": "jsonl"}
            (here / "overlay.yaml").write_text(f"{SMALL}corpus: {{source: {json.dumps(source)}}}\n")
            for harm in (f"download: {behaviour}", f"download: {behaviour}, then well"):
                code = run(here, targets=["results/ci/corpus/passages.parquet"])
                found = here / "results/ci/corpus/passages.parquet"
                if code == 0 and found.read_bytes() == wanted:
                    yield Outcome(harm, SAME, f"{server.requests} requests")
                else:
                    yield judged(harm, here, code or 1, reference)
                server.behaviour = bad_server.WELL
        shutil.rmtree(here)
