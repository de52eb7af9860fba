"""Faults of files, clocks, memory and networks: each met by a run, which is then started again plainly."""

import hashlib
import json
import os
import re
import resource
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.workflow import bad_server
from tests.workflow.harm import SAME, SENTENCE, Outcome, checkout, judged, run


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


USE = "joint/instruction-cr4-base/memory_use.json"
ANSWERS = "evaluation/predictions/instruction-cr4-base.jsonl"
TRAINED = "pretraining/cr4-base/card.json"
DAMAGED = {
    "corpus/source/dump": "corpus/passages.parquet",
    "corpus/passages.parquet": "questions/nq.test.jsonl",
    "backbone/card.json": USE,
    "backbone/model/model.safetensors": USE,
    "backbone/model/tokenizer.json": USE,
    "backbone/model/tokenizer_config.json": USE,
    "backbone/model/chat_template.jinja": USE,
    "questions/nq.test.jsonl": "candidates/nq.test.oracle.jsonl",
    "candidates/nq.train.oracle.jsonl": "instruction/cr4-base/card.json",
    "candidates/nq.test.oracle.jsonl": "evaluation/predictions/bm25.jsonl",
    "synthesis/pairs.parquet": TRAINED,
    "pretraining/cr4-base/adapters.safetensors": "pretraining/cr4-base/memory_use.json",
    "pretraining/cr4-base/history.jsonl": "pretraining/cr4-base/memory_use.json",
    "pretraining/cr4-base/memory_use.json": "report/index.html",
    "instruction/cr4-base/card.json": "instruction/cr4-base/memory_use.json",
    "joint/instruction-cr4-base/adapters.safetensors": USE,
    "compression/instruction-cr4-base/manifest.json": ANSWERS,
    "compression/instruction-cr4-base/memories-00000.safetensors": ANSWERS,
    "compression/instruction-cr4-base/documents.parquet": ANSWERS,
    "evaluation/predictions/bm25.jsonl": "evaluation/metrics/bm25.json",
    "evaluation/metrics/bm25.json": "report/index.html",
}
"""Intermediate file → what is made again from it, and asked for: by itself Snakemake makes no file again that only a
finished one needs."""


def below(name: str) -> str:
    """The target for a file below the results."""
    return f"results/ci/{name}"


def remove(path: Path) -> None:
    """Deletes a file or a folder."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def damaged_files(
    folder: Path, finished: Path, how: str, reference: dict[str, bytes], names: Iterable[str] = DAMAGED
) -> Iterator[Outcome]:
    """Each intermediate file cut short or with a flipped bit, when a reader of it runs again.

    Where the run ends in a sentence, that is followed, by deleting what it names: then the file must be what it was.
    """
    for name in names:
        here = Path(shutil.copytree(finished, folder / "damaged"))
        wanted = reference | {name: (here / below(name)).read_bytes()}
        damage(here / below(name), how)
        remove(here / below(DAMAGED[name]))
        yield from followed(f"{how} {name}", here, DAMAGED[name], wanted, below(name))
        shutil.rmtree(here)


def followed(harm: str, here: Path, target: str, wanted: dict[str, bytes], otherwise: str) -> Iterator[Outcome]:
    """What comes of making `target`, and, where that is a sentence, of deleting and running what it says."""
    first = judged(harm, here, run(here, targets=[below(target)]), wanted)
    yield first
    if first.result == SENTENCE:
        lost = here / to_delete(first.detail, otherwise)
        remove(lost)
        if re.search(r"delete .* and run (\w+|the step that makes it) again", first.detail):
            run(here, targets=[str(lost.relative_to(here))])
        again = judged(f"{harm}, its sentence followed", here, run(here, targets=[below(target)]), wanted)
        yield again if again.result == SAME else again._replace(result="NOT MENDED")


def to_delete(sentence: str, otherwise: str) -> str:
    """The file of the run that a sentence says to delete; `otherwise` where it says `it`."""
    found = re.search(r"delete (?:the folder )?(\S*results/ci/[^\s;,]+)", sentence)
    return found[1] if found else otherwise


def lost_shard(folder: Path, finished: Path, reference: dict[str, bytes]) -> Iterator[Outcome]:
    """A file of the store deleted, when the answers are made again; then what the sentence says."""
    here = Path(shutil.copytree(finished, folder / "shard"))
    store = here / below("compression/instruction-cr4-base")
    next(store.glob("*.safetensors")).unlink()
    remove(here / below(ANSWERS))
    yield from followed("deleted store shard", here, ANSWERS, reference, str(store / "manifest.json"))
    shutil.rmtree(here)


def damaged_state(folder: Path, finished: Path, reference: dict[str, bytes]) -> Iterator[Outcome]:
    """A training's newest saved state with a flipped bit, when the training goes on from it."""
    here = Path(shutil.copytree(finished, folder / "state"))
    newest = sorted((here / "state/ci/pretrain/4-base").rglob("step-*/parameters.safetensors"))[-1]
    damage(newest, "flip")
    shutil.rmtree(here / below("pretraining"))
    yield judged("flipped bit in a saved state", here, run(here, targets=[below(TRAINED)]), weights(reference))
    shutil.rmtree(here)


def weights(reference: dict[str, bytes]) -> dict[str, bytes]:
    """What making `TRAINED` alone has to give."""
    return {name: content for name, content in reference.items() if Path(name).parent == Path(TRAINED).parent}


def clock(folder: Path, finished: Path, reference: dict[str, bytes]) -> Iterator[Outcome]:
    """All results dated a day ahead, as after a clock that was set back."""
    here = Path(shutil.copytree(finished, folder / "clock"))
    for path in (here / "results").rglob("*"):
        os.utime(path, (time.time() + 86400,) * 2)
    answers = below("evaluation/predictions/bm25.jsonl")
    (here / answers).unlink()
    yield judged("clock set back by a day", here, run(here, targets=[answers, "all"]), reference)
    shutil.rmtree(here)


def little_memory(folder: Path, finished: Path, reference: dict[str, bytes]) -> Iterator[Outcome]:
    """A training in an address space too small for it, then a plain restart."""
    here = Path(shutil.copytree(finished, folder / "memory"))
    shutil.rmtree(here / below("pretraining"))
    shutil.rmtree(here / "state")
    limit = 1200 * 2**20
    first = run(here, lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)), targets=[below(TRAINED)])
    assert first != 0, "the limit must be felt, or nothing is shown"
    second = run(here, targets=[below(TRAINED)])
    yield judged("restart after a memory limit", here, second, weights(reference))
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
            (here / "overlay.yaml").write_text(json.dumps({"corpus": {"source": source}}))
            for harm in (f"download: {behaviour}", f"download: {behaviour}, then well"):
                code = run(here, targets=["results/ci/corpus/passages.parquet"])
                found = here / "results/ci/corpus/passages.parquet"
                if code == 0 and found.read_bytes() == wanted:
                    yield Outcome(harm, SAME, f"{server.requests} requests")
                else:
                    yield judged(harm, here, code or 1, reference)
                server.behaviour = bad_server.WELL
        shutil.rmtree(here)
