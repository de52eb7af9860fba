"""Settings, environments and reports of stages, as tables."""

from pathlib import Path
from typing import Any

import pytest

from clara.evaluation.provenance import (
    Beside,
    Fact,
    Facts,
    backbones,
    environment_facts,
    read_besides,
    repeatability,
    report_tables,
    seen_documents,
    show,
)
from clara.files import write_json


def test_equal_values_are_said_once_and_what_a_run_has_to_itself_is_left_to_its_fold() -> None:
    first = Beside("first", {}, {"python": "3.11", "libraries": {"torch": "2.13"}, "wall_seconds": 3})
    second = Beside("second", {}, {"python": "3.11", "libraries": {"torch": "2.14"}, "wall_seconds": 4})
    assert environment_facts([first, second, Beside("bare", {}, {})]) == [
        Fact("python", "3.11", "all"),
        Fact("libraries / torch", "2.13", "first"),
        Fact("libraries / torch", "2.14", "second"),
    ]


def test_what_lies_beside_a_history_is_read_and_its_absence_is_no_fault(tmp_path: Path) -> None:
    here, there = (tmp_path / f"pretraining/cr{ratio}-base/history.jsonl" for ratio in (4, 16))
    write_json(here.with_name("settings.json"), {"backbone": {"source": "package:toy/toy/Toy-1M.gguf"}})
    read = read_besides([here, there])
    assert [(beside.label, bool(beside.settings)) for beside in read] == [
        ("pretraining CR 4", True),
        ("pretraining CR 16", False),
    ]
    assert backbones(read) == ["Toy-1M"]


def test_a_report_becomes_a_table_of_totals_and_one_for_each_part() -> None:
    report = {"kept": 1200, "passages": {"dropped": {"too_short": 3}, "words": {"mean": 99.45}}, "rejected": {}}
    assert report_tables(report) == [
        Facts("Totals", [("kept", "1,200")]),
        Facts("Passages", [("dropped / too short", "3"), ("words / mean", "99.45")]),
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "yes"),
        (None, "none"),
        (0, "0"),
        (1234567, "1,234,567"),
        (0.00012345, "0.0001234"),
        (123456.7, "123,457"),
        ([], "none"),
        (["a", 2], "a, 2"),
        ("text", "text"),
    ],
)
def test_values_are_shown_for_reading(value: Any, text: str) -> None:
    assert show(value) == text


@pytest.mark.parametrize(
    ("devices", "said"),
    [
        ([], ""),
        (["cpu", "cpu"], "Trained on a CPU: the same code"),
        (["cpu", "NVIDIA H100"], "Trained on NVIDIA H100, cpu, which adds numbers in no fixed order."),
    ],
)
def test_the_report_says_which_numbers_another_run_may_move(devices: list[str], said: str) -> None:
    besides = [Beside("a", {}, {"device": device}) for device in devices]
    text = repeatability([*besides, Beside("bare", {}, {})])
    assert text.startswith(said)
    assert ("Corpus, questions, candidate pools and BM25 cannot" in text) == ("H100" in said)


def test_gold_documents_that_training_knows_are_told_by_pool_and_benchmark(tmp_path: Path) -> None:
    test = {"benchmark": "nq", "split": "test", "setting": "oracle", "gold_seen_as_gold": 0.25, "gold_seen": 0.5}
    write_json(
        tmp_path / "data.json", {"questions": [{"benchmark": "nq", "split": "train", "setting": "oracle"}, test]}
    )
    [facts] = seen_documents([tmp_path / "data.json"])
    assert facts == ("Gold documents that training knows, oracle pools", [("NQ", "25% as gold, 50% in a pool")])
    assert seen_documents([]) == []
