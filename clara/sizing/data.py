"""How much data a configuration has, for estimates: questions of its benchmarks, and what a large corpus takes.

Light: no torch, no network.
"""

import os
from functools import cache
from pathlib import Path
from typing import Any

from clara.config.locations import expand
from clara.errors import ConfigError

BENCHMARK_ROWS = {"nq": (79168, 8757), "hotpotqa": (90447, 7405), "musique": (19938, 2417), "2wiki": (167454, 12576)}
"""Format → training and test questions of the official files."""
ROWS_A_PASSAGE = {"simple": 7.8, "complex": 4.62, "paraphrase": 1.0}
"""Kind → synthesized rows of a passage (paper, Table 8)."""
UNKNOWN_PASSAGES = 1_000_000
PACKED = (".bz2", ".gz", ".xz", ".parquet")
PASSAGE_BYTES, PACKED_BYTES = 600, 200
"""Of a passage of a hundred words, plain and packed."""
EXAMPLE_BYTES, PASSAGE_HELD, ROW_BYTES = 200, 200, 2600
"""In memory: of an example's place in a training's order, in each process; of a passage whose tokens have been counted
or whose rows are chosen; of a row that is held (182, 160 and 2,503 were measured)."""
TEXT_HELD = 7.5
"""Bytes that pools are made with, by those of the corpus's text: the documents and BM25's index (7.3 measured, between
15,000 and 58,000 passages)."""
ID_BYTES = 170
"""Of a published row: what tells that it was there already (162 measured, eight rows a document)."""
GROUP_ROWS, AHEAD, OUTCOME_BYTES = 65536, 8192, 23_000
"""Of synthesis: rows of a table that are written together (clara/synthesis/tables.py), outcomes that may wait for one
before them (clara/synthesis/loop.py), and their size, half of their rows rejected."""
SHARE_OF_POOLS = 1 / 8
"""Distinct documents among the places in all pools; 455 of 4480 in the demo."""
LETTERS = 5
"""Of a token, at most on average."""


def question_counts(config: dict[str, Any]) -> tuple[int, int]:
    """Training and test questions of all benchmarks: counted where the file is small, else as in the official files."""
    train = test = 0
    for given in config["benchmarks"].values():
        rows = BENCHMARK_ROWS.get(given["format"], (20000, 5000))
        lines = [_lines(given[key]) for key in ("train", "test")]
        tested = lines[1] if lines[1] is not None else rows[1]
        kept = min(tested, given["num_test"] or tested)
        learned = lines[0] if lines[0] is not None else (rows[0] if given["train"] else tested - kept)
        train, test = train + min(learned, given["num_train"] or learned), test + kept
    return train, test


@cache
def _lines(path: str | None) -> int | None:
    try:
        place = Path(expand(path)) if path else None
        small = place and place.suffix == ".jsonl" and place.stat().st_size < 1e7
        return place.read_bytes().count(b"\n") if place and small else None
    except (OSError, ConfigError):
        return None


def data_mb(rule: str, config: dict[str, Any]) -> int:
    """What a large corpus adds to a step without a model: rows as Python objects, three times the text."""
    try:
        size = os.path.getsize(expand(config["corpus"]["source"]["location"])) / 1e6
    except (OSError, ConfigError):
        size = 0.0
    if rule == "make_candidates":
        return round(TEXT_HELD * _unpacked(config["corpus"]["source"]["location"]) * max(0.0, size - 100))
    if rule in ("prepare_questions", "split_passages"):
        return round(3 * max(0.0, size - 100))
    if rule in ("gather_pairs", "export_pairs", "review_pairs"):
        return round(0.006 * max(0, (config["synthesis"]["num_passages"] or 0) - 10_000))
    if rule in ("measure_data", "collect_documents", "rank_bm25"):
        return round(_pools_mb(rule, config))
    return 0


def _pools_mb(rule: str, config: dict[str, Any]) -> float:
    """Of pools that are read, a file after the other: those of all benchmarks, the largest's share being unknown."""
    train, test = question_counts(config)
    read = 0.001 * int(config["candidates"]["size"]) * max(0, (test if rule == "rank_bm25" else train) - 50_000)
    if rule == "collect_documents":  # each document once
        return read + 0.001 * SHARE_OF_POOLS * max(0, places(config, train, test) - 1_000_000)
    return read + (
        1.2e-4 * max(0, (config["synthesis"]["num_passages"] or 0) - 10_000) if rule == "measure_data" else 0
    )


def places(config: dict[str, Any], train: int, test: int) -> int:
    """Documents in the pools of so many questions, as often as they stand there."""
    pools = config["candidates"]
    return int((pools["train_size"] or pools["size"]) * train + pools["size"] * len(pools["settings"]) * test)


def num_passages(config: dict[str, Any]) -> int:
    """Passages that rows are made of: those asked for, or about as many as the file that they come from has."""
    asked = config["synthesis"]
    if asked["num_passages"] and not asked["published"]:
        return int(asked["num_passages"])
    return _passages_in(asked["published"] or config["corpus"]["source"]["location"])


def _passages_in(location: str) -> int:
    try:
        place = Path(expand(location))
    except ConfigError:
        return UNKNOWN_PASSAGES
    if not place.is_file():
        return UNKNOWN_PASSAGES
    return max(1, place.stat().st_size // (PACKED_BYTES if place.suffix in PACKED else PASSAGE_BYTES))


def _unpacked(location: str) -> float:
    """Text in a file by its size; a dump of Wikipedia loses in markup what it gains unpacked."""
    return PASSAGE_BYTES / PACKED_BYTES if location.endswith((".gz", ".xz", ".parquet")) else 1.0


def synthesis_mb(config: dict[str, Any]) -> float:
    """What a shard of synthesis holds of its data, beside a model.

    Of each passage of the corpus a number; tables that are not written yet, as many rows rejected as accepted; outcomes
    that wait. Where rows are taken over, what tells each of all shards' rows, and one table.
    """
    given, passages = config["synthesis"], num_passages(config)
    if given["published"]:
        every = passages * sum(ROWS_A_PASSAGE.values())  # whatever the kinds asked for
        return float(every * ID_BYTES + min(every / given["shards"], GROUP_ROWS) * ROW_BYTES) / 1e6
    tasks = [(kind, min(passages, given["num_passages_for"].get(kind, passages))) for kind in given["kinds"]]
    rows = sum(number * ROWS_A_PASSAGE[kind] for kind, number in tasks)
    table = min(rows / given["shards"], GROUP_ROWS) * ROW_BYTES
    waiting = min(sum(number for _, number in tasks) / given["shards"], AHEAD) * OUTCOME_BYTES
    return float(8 * _passages_in(config["corpus"]["source"]["location"]) + 2 * table + waiting) / 1e6


def num_examples(rule: str, config: dict[str, Any], *, rows: bool = False) -> float:
    """Examples that a training has; with `rows` the synthesized rows behind those of pretraining."""
    if rule != "pretrain":
        return float(question_counts(config)[0])
    section, passages = config["pretraining"], num_passages(config)
    each = rows or section["qa_target"] == "answer"
    few = config["synthesis"]["num_passages_for"]
    found: float = sum(
        min(passages, few.get(kind, passages)) * (ROWS_A_PASSAGE[kind] if each else 1) for kind in section["kinds"]
    )
    return float(section["document_share"]) * found


def examples_mb(rule: str, config: dict[str, Any], ids: float, documents: float) -> float:
    """Of a training's examples on the disk, until its checkpoint is written.

    Args:
        rule: the training.
        config: the whole configuration.
        ids: tokens of an example.
        documents: whose text stands beside them.
    """
    text = documents * config["memory"]["document_max_tokens"] * LETTERS + 300
    each: float = 4 * ids + text + 16
    return num_examples(rule, config) * each / 1e6


def held_mb(config: dict[str, Any]) -> float:
    """What a process holds of pretraining's rows: the order of the examples, hashes of documents; rejected rows and
    accepted ones where they are sorted together."""
    held = EXAMPLE_BYTES * num_examples("pretrain", config) + PASSAGE_HELD * num_passages(config)
    if config["pretraining"]["rows"] == "all":
        held += 2 * ROW_BYTES * num_examples("pretrain", config, rows=True)
    return held / 1e6
