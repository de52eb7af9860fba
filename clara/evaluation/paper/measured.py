"""Our own numbers for the paper's tables, out of the files of a run."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from clara.config.measurements import PAPERS_LAYER, is_papers_encoder, is_papers_spacy
from clara.errors import DataError
from clara.evaluation.paper.values import Place
from clara.evaluation.results import read_scores
from clara.evaluation.scoring import AVERAGE
from clara.files import read_json

ALL = "all"
"""Setting or benchmark of a number that has none."""

JUDGED = ("faithfulness", "correctness")
"""Metrics of grounding that a judge gives."""
EFFICIENCY = {
    "compress_ms": ("compress_seconds",),
    "query_ms": ("search_seconds",),
    "decode_ms": ("prefill_seconds", "decode_seconds"),
}
"""Columns of Table 15 as sums of what is measured; the paper's decoding begins with the prompt."""


class Measured(NamedTuple):
    """A number of ours."""

    value: float
    low: float | None = None
    """Of its interval; none where there is no sample of questions."""
    high: float | None = None
    n: int = 0
    """Questions or documents behind it; 0 where it is no mean."""
    by: str = ""
    """The model that judged or compared; empty where none did."""


Found = dict[Place, Measured]


def spread(found: Found, equal: Mapping[str, str]) -> Found:
    """`found`, with the numbers of every system also under the names that are equal to its own (`paper.equal`)."""
    others = {
        place._replace(system=name): number
        for name, owner in equal.items()
        for place, number in found.items()
        if place.system == owner
    }
    return {**others, **found}


def read_measured(source: str, files: Iterable[Path]) -> Found:
    """Every number in `files`, which are of one source (`specs.SOURCES`).

    Raises:
        DataError: a file is malformed or of another source.
    """
    files = list(files)
    if source == "scores":
        return {
            # By the file's name: where a variant has another's settings, its file holds that one's scores.
            Place(path.stem, row.score.setting, row.score.benchmark, row.score.metric): Measured(
                row.score.value, row.score.low, row.score.high, row.score.n
            )
            for path in files
            for row in read_scores([path])
        }
    found: Found = {}
    for path in files:
        value = read_json(path)
        try:
            found.update(_READERS[source](path.stem, value))
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"{path} holds no {source} ({type(error).__name__}: {error}); delete it and run the step that makes it"
            ) from error
    return found


def read_kinds(files: Iterable[Path]) -> frozenset[str] | None:
    """Kinds of rows that there are to pretrain on, of files of `measure_data`; None where there is no file.

    Raises:
        DataError: a file is of another kind.
    """
    found = [read_measured("data", [path]) for path in files]
    if not found:
        return None
    return frozenset(
        place.benchmark for each in found for place, row in each.items() if place.metric == "documents" and row.value
    )


def _grounding(system: str, value: Any) -> Iterator[tuple[Place, Measured]]:
    """Rows by benchmark and setting, and their macro means, which have no interval."""
    groups: dict[tuple[str, str], list[Measured]] = {}
    for row in value["rows"]:
        by = value["judge"] if row["metric"] in JUDGED else ""
        measured = Measured(row["value"], row["low"], row["high"], row["n"], by)
        groups.setdefault((row["setting"], row["metric"]), []).append(measured)
        yield Place(system, row["setting"], row["benchmark"], row["metric"]), measured
    for (setting, metric), parts in groups.items():
        mean = sum(part.value for part in parts) / len(parts)
        yield Place(system, setting, AVERAGE, metric), Measured(mean, n=sum(part.n for part in parts), by=parts[0].by)


def _recovery(system: str, value: Any) -> Iterator[tuple[Place, Measured]]:
    for row in value["rows"]:
        metric, by = row["metric"], ""
        if metric in ("bert_score", "entities"):
            by = value[metric]
            metric = metric if _as_in_the_paper(metric, value) else f"{metric}_other"
        yield (
            Place(system, ALL, row["documents"], metric),
            Measured(row["value"], row["low"], row["high"], row["n"], by),
        )


def _as_in_the_paper(metric: str, value: Any) -> bool:
    """Whether a metric is by the paper's model; by another it is another number."""
    if metric == "entities":
        if value["entities"] == "rules":  # of a version before this one
            raise KeyError("entities_by_form")
        return is_papers_spacy(value["entities"])
    return is_papers_encoder(value["bert_score"]) and value["bert_score_layer"] == PAPERS_LAYER


def _efficiency(system: str, value: Any) -> Iterator[tuple[Place, Measured]]:
    """Milliseconds of ours under the system's name, of text under `text`; of several files the last one's."""
    for name, way in ((system, "memories"), ("text", "text")):
        costs = value["ways"][way]
        for metric, parts in EFFICIENCY.items():
            yield Place(name, ALL, ALL, metric), Measured(1000 * sum(costs[part] for part in parts))
    yield Place(system, ALL, ALL, "stored_bytes"), Measured(value["stored_bytes_per_document"])


def _data(_: str, value: Any) -> Iterator[tuple[Place, Measured]]:
    for row in value["synthesis"]:
        # Of a kind without rows nothing has a mean.
        means = ("rows_per_document", "input_words", "output_words") if row["documents"] else ()
        for metric in ("documents", *means):
            yield Place("data", ALL, row["kind"], metric), Measured(row[metric])
    # Files of the Normal setting are often a part of those of the Oracle one, whose questions are the benchmark's.
    for row in sorted(value["questions"], key=lambda row: row.get("setting") == "oracle"):
        yield Place("data", row["split"], row["benchmark"], "questions"), Measured(row["questions"])


_READERS = {"grounding": _grounding, "recovery": _recovery, "efficiency": _efficiency, "data": _data}
