"""How long the data keeps a step without a model, for estimates.

Light: no torch, no network.
"""

from pathlib import Path
from typing import Any

from clara.config.locations import expand
from clara.errors import ConfigError
from clara.sizing.data import (
    PACKED,
    PACKED_BYTES,
    PASSAGE_BYTES,
    ROWS_A_PASSAGE,
    UNKNOWN_PASSAGES,
    num_passages,
    places,
    question_counts,
)

PACKAGE_MB = 10.0
"""At most, of a corpus that a package brings."""
SECONDS_A_MB = 1.0
"""Of text that is read, split or indexed by BM25: wikitext 1 s, passages 0.66 s, an index 0.38 s were measured."""
SECONDS_A_READ_QUESTION, SECONDS_A_QUESTION = 5e-3, 0.012
SECONDS_A_QUESTION_AND_DOCUMENT = 5e-8
"""Of a question's scores over an index: 13 ms over 50,000 documents and 15 ms over 100,000 were measured."""
SECONDS_A_ROW = 2e-4
"""Of a synthesized row that is checked, written and counted; supposed."""
SECONDS_A_PLACE = 5e-5
"""Of a document in a pool that is read; 7 to 10 µs were measured."""
JUDGE_REPLIES, JUDGE_SECONDS, JUDGE_AT_ONCE = 2, 4.0, 8
"""Of an answer; of a reply, supposed; replies at once (`AT_ONCE` of clara/measurements/judge.py)."""


def data_seconds(rule: str, config: dict[str, Any]) -> float:
    """What the data adds to the seconds of a step without a model, of one core."""
    benchmarks = [question_counts({"benchmarks": {name: one}}) for name, one in config["benchmarks"].items()]
    if rule == "split_passages":
        return SECONDS_A_MB * text_mb(config)
    if rule in ("prepare_questions", "make_candidates"):  # a job a benchmark: the largest
        seconds, each = SECONDS_A_MB * text_mb(config), SECONDS_A_READ_QUESTION
        if rule == "make_candidates":
            each = SECONDS_A_QUESTION + SECONDS_A_QUESTION_AND_DOCUMENT * 1e6 * text_mb(config) / PASSAGE_BYTES
        return seconds + each * max(train + 3 * test for train, test in benchmarks)
    if rule in ("gather_pairs", "export_pairs", "review_pairs"):
        return SECONDS_A_ROW * num_rows(config)
    if rule == "rank_bm25":
        return SECONDS_A_PLACE * sum(places(config, 0, test) for _, test in benchmarks)
    if rule in ("collect_documents", "measure_data"):
        rows = SECONDS_A_ROW * num_rows(config) if rule == "measure_data" else 0
        return rows + SECONDS_A_PLACE * sum(places(config, train, test) for train, test in benchmarks)
    if rule == "score_grounding":
        return _grounding_seconds(config, [test for _, test in benchmarks])
    return 0.0


def _grounding_seconds(config: dict[str, Any], questions: list[int]) -> float:
    given, settings = config["measurements"]["grounding"], len(config["candidates"]["settings"])
    read = SECONDS_A_PLACE * int(config["candidates"]["size"]) * settings * sum(questions)
    judged: int = sum(min(given["questions"] or count, count) for count in questions) if given["judge"] else 0
    return read + JUDGE_REPLIES * JUDGE_SECONDS / JUDGE_AT_ONCE * settings * judged


def text_mb(config: dict[str, Any]) -> float:
    """Megabytes of the corpus's text, unpacked; as of a million passages where it lies elsewhere."""
    location = config["corpus"]["source"]["location"]
    if location.startswith("package:"):
        return PACKAGE_MB
    try:
        place = Path(expand(location))
        size = place.stat().st_size / 1e6
    except (OSError, ConfigError):
        return UNKNOWN_PASSAGES * PASSAGE_BYTES / 1e6
    return size * PASSAGE_BYTES / PACKED_BYTES if place.suffix in PACKED else size


def num_rows(config: dict[str, Any]) -> float:
    """Synthesized rows of all kinds."""
    passages, few = num_passages(config), config["synthesis"]["num_passages_for"]
    kinds = config["synthesis"]["kinds"]
    return float(sum(min(passages, few.get(kind, passages)) * ROWS_A_PASSAGE[kind] for kind in kinds))
