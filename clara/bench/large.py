"""Search in a large store of made-up documents: time, memory, and what two stages miss."""

import resource
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from torch import Tensor

from clara.bench.made_up import mixed, write_store
from clara.model.search import INDEX_KINDS, Index, IndexKind, build_index, exact
from clara.model.store import MemoryStore

SHARD = 4096
RESCORED = (20, 50, 100, 200, 400)


@dataclass(frozen=True)
class TwoStage:
    """What two-stage searches with one kind of index cost and found."""

    bytes: int
    build_seconds: float
    seconds: float
    """Median of one question, the files in the system's cache."""
    recall_at_5: dict[str, float]
    """By documents rescored: share of the exact search's best five that the two-stage search finds."""
    process_mib: float
    """Resident memory, pages of mapped files not counted, of a process that does nothing but load the store and search
    it in both ways."""


@dataclass(frozen=True)
class Searched:
    """What searches of a store cost and found."""

    documents: int
    bytes_of_store: int
    exact_seconds: float
    """Of one question."""
    by_index: dict[IndexKind, TwoStage]


def search_store(memories: Tensor, questions: Tensor, folder: Path, *, count: int) -> Searched:
    """Measures a store of `count` documents mixed from real memories, asked real questions' memories."""
    blocks = (mixed(memories, SHARD, seed=number) for number in range(-(-count // SHARD)))
    store = MemoryStore(write_store(folder, blocks, dtype="bfloat16"))
    wanted, exact_seconds = [], []
    for question in questions:
        started = time.perf_counter()
        wanted.append(set(exact(store, question[None], k=5).rows[0].tolist()))
        exact_seconds.append(time.perf_counter() - started)
    return Searched(
        documents=store.manifest.num_documents,
        bytes_of_store=sum((folder / shard.file).stat().st_size for shard in store.manifest.shards),
        exact_seconds=statistics.median(exact_seconds),
        by_index={kind: _two_stage(store, questions, wanted, kind) for kind in INDEX_KINDS},
    )


def _two_stage(store: MemoryStore, questions: Tensor, wanted: Sequence[set[int]], kind: IndexKind) -> TwoStage:
    started = time.perf_counter()
    path = build_index(store, kind=kind)
    build_seconds = time.perf_counter() - started
    index = Index(store)
    index.search(questions[:1], k=5)
    times = []
    for question in questions:
        started = time.perf_counter()
        index.search(question[None], k=5)
        times.append(time.perf_counter() - started)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
        process_mib = alone.submit(memory_of_searches, store.path, questions[:8]).result()
    return TwoStage(
        bytes=path.stat().st_size,
        build_seconds=build_seconds,
        seconds=statistics.median(times),
        recall_at_5={str(number): _agreement(index, questions, wanted, number) for number in RESCORED},
        process_mib=process_mib,
    )


def memory_of_searches(manifest: Path, questions: Tensor) -> float:
    """MiB at most that this process holds, files apart, while it searches in two stages and once exactly."""
    store = MemoryStore(manifest)
    index = Index(store)
    most = 0.0
    for question in questions:
        index.search(question[None], k=5)
        most = max(most, _anonymous())
    exact(store, questions[:1], k=5)
    return max(most, _anonymous())


def _agreement(index: Index, questions: Tensor, wanted: Sequence[set[int]], rescored: int) -> float:
    found = index.search(questions, k=5, rescored=rescored).rows.tolist()
    return sum(len(want & set(rows)) for want, rows in zip(wanted, found, strict=True)) / (5 * len(wanted))


def _anonymous() -> float:
    """MiB of this process's memory that no file stands behind."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    line = next(line for line in status.read_text("utf-8").splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1]) / 1024
