"""Answers of one checkpoint from its k best documents, for several k (paper, Fig. 8)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from clara.config.evaluation import Generation
from clara.errors import DataError
from clara.evaluation.answering import Pool
from clara.evaluation.predict import from_memories, whole_store
from clara.evaluation.scoring import Resampling, check, score
from clara.evaluation.selection import select_with_reasoner
from clara.model.checkpoint import LoadedCheckpoint
from clara.records import Prediction

MARK = "-k"
"""Between the name of a system and its number of documents."""


def predict_by_k(
    system: str,
    loaded: LoadedCheckpoint,
    store: Path,
    pools: Sequence[Pool],
    *,
    numbers: Sequence[int],
    generation: Generation,
    state: Path | None,
) -> dict[int, list[Prediction]]:
    """k → predictions of `{system}-k{k}`; the documents are ranked once, and k changes what the generator reads.

    Args:
        system: name of the system.
        loaded: checkpoint of joint training.
        store: manifest of a store that its compressor built.
        pools: what to answer.
        numbers: the values of k.
        generation: length of answers and batch size.
        state: folder where answers of an interrupted run wait; None keeps none.

    Raises:
        CheckpointError: the store is of another compressor or damaged, or the checkpoint has no query reasoner.
        ConfigError: a prompt is longer than the language model's context.
    """
    memories = whole_store(loaded, store)
    ranked = select_with_reasoner(loaded.model, memories, pools, top_k=max(numbers))
    found = {}
    for k in numbers:
        tasks = [replace(task, selected=task.selected[:k]) for task in ranked]
        found[k] = from_memories(f"{system}{MARK}{k}", loaded, memories, tasks, generation=generation, state=state)
    return found


def score_by_k(predictions: Sequence[Sequence[Prediction]], resampling: Resampling) -> dict[str, Any]:
    """The content of `by_k/{system}.json`: for each k the answers' metrics, and Recall@k at that k.

    Args:
        predictions: those of each k.
        resampling: how intervals are made.

    Raises:
        DataError: a file's system has no k in its name, or the files are of several systems.
    """
    by_k: dict[int, Sequence[Prediction]] = {}
    systems = set()
    for rows in predictions:
        check(rows, "a file of predictions")
        system, mark, number = rows[0].system.rpartition(MARK)
        if not mark or not number.isdecimal():
            raise DataError(
                f"the system {rows[0].system} does not end with its number of documents, as x-k5 does; "
                "give the predictions of predict_by_k"
            )
        systems.add(system)
        by_k[int(number)] = rows
    if len(systems) != 1:
        raise DataError(f"predictions of {len(systems)} systems ({', '.join(sorted(systems))}); give those of one")
    scored = [entry for k in sorted(by_k) for entry in _rows(k, by_k[k], resampling)]
    return {"system": systems.pop(), "confidence": resampling.confidence, "rows": scored}


def _rows(k: int, predictions: Sequence[Prediction], resampling: Resampling) -> list[Mapping[str, Any]]:
    scored = score(predictions, recall_cuts=[k], resampling=resampling)
    rows = [row._asdict() for row in scored]
    return [{"k": k} | row | {"metric": row["metric"].replace(f"recall@{k}", "recall")} for row in rows]
