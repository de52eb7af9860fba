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
    if rule in ("make_candidates", "prepare_questions", "split_passages", "collect_documents"):
        return round(3 * max(0.0, size - 100))
    if rule in ("gather_pairs", "review_pairs"):
        return round(0.006 * max(0, (config["synthesis"]["num_passages"] or 0) - 10_000))
    if rule == "measure_data":  # the pools of the largest benchmark; a benchmark's share is not known before
        train, _ = question_counts(config)
        return round(0.001 * int(config["candidates"]["size"]) * max(0, train - 50_000))
    return 0
