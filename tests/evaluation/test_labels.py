"""Names and their order."""

from pathlib import Path

import pytest

from clara.errors import DataError
from clara.evaluation.labels import (
    checkpoint_of,
    metric_label,
    metric_order,
    system_label,
    system_order,
)


@pytest.mark.parametrize(
    ("path", "label"),
    [
        ("results/demo/pretraining/cr4-base/history.jsonl", "pretraining CR 4"),
        ("R/joint/instruction-cr16-no_mse/memory_use.json", "joint CR 16, from instruction, no_mse"),
    ],
)
def test_a_checkpoint_is_known_by_its_folder(path: str, label: str) -> None:
    assert checkpoint_of(Path(path)).label == label


@pytest.mark.parametrize("path", ["history.jsonl", "R/joint/4-base/history.jsonl", "R/other/cr4-base/history.jsonl"])
def test_a_file_outside_a_checkpoint_is_refused(path: str) -> None:
    with pytest.raises(DataError, match="does not lie in a checkpoint's folder; expected STAGE/crRATIO-VARIANT"):
        checkpoint_of(Path(path))


def test_systems_are_ordered_baselines_first_then_by_start_and_ratio_as_a_number() -> None:
    systems = ["instruction-cr16-base", "pretraining-cr4-base", "other", "bm25", "instruction-cr4-base", "no_retrieval"]
    assert sorted(systems, key=system_order) == [
        "no_retrieval",
        "bm25",
        "other",
        "instruction-cr4-base",
        "instruction-cr16-base",
        "pretraining-cr4-base",
    ]


def test_a_system_that_is_not_known_keeps_its_name() -> None:
    assert [system_label(name) for name in ("text_rag", "mine", "pretraining-cr4-base")] == [
        "Text RAG",
        "mine",
        "CLaRa CR 4, from pretraining",
    ]


def test_a_system_that_reads_given_documents_says_so() -> None:
    assert system_label("given-text") == "Text, documents given"
    assert system_label("given-hard_words_cr16") == "Informative words CR 16, documents given"
    assert system_label("given-pretraining-cr4-base") == "Compressor CR 4, from pretraining, documents given"


def test_recall_follows_answers_and_is_ordered_by_its_cut_off_as_a_number() -> None:
    assert sorted(["recall@10", "em", "recall@5", "cover_em"], key=metric_order) == [
        "cover_em",
        "em",
        "recall@5",
        "recall@10",
    ]
    assert metric_label("recall@10") == "Recall@10"
