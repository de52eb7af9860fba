"""Reading metrics, histories and memory use."""

import json
from pathlib import Path

import pytest

from clara.errors import DataError
from clara.evaluation.results import MemoryUse, read_histories, read_memory_use, read_scores
from clara.files import write_json


def use(low: float) -> dict[str, object]:
    interval = {"mean": 1.0, "low": low, "high": 2.0}
    losses = dict.fromkeys(("right", "wrong", "none", "text"), interval)
    return {"n": 9, "confidence": 0.95, "losses": losses, "wrong_minus_right": interval}


def history(folder: Path, *points: tuple[int, str, float]) -> Path:
    folder.mkdir(parents=True)
    rows = [{"step": step, "split": split, "loss": loss, "rate": 1} for step, split, loss in points]
    (folder / "history.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / "history.jsonl"


def test_memories_count_as_used_only_where_the_whole_interval_lies_above_zero() -> None:
    assert [MemoryUse.model_validate(use(low)).used for low in (0.001, 0.0, -0.5)] == [True, False, False]


def test_a_step_logged_again_after_a_resume_counts_once_with_its_last_loss(tmp_path: Path) -> None:
    path = history(
        tmp_path / "joint/instruction-cr4-base",
        (0, "validation", 9.0),
        (1, "train", 8.0),
        (2, "train", 7.0),
        (1, "train", 6.0),
    )
    [read] = read_histories([path])
    assert (read.losses("train"), read.losses("validation")) == ([(1, 6.0), (2, 7.0)], [(0, 9.0)])


def test_histories_are_ordered_by_stage_then_ratio(tmp_path: Path) -> None:
    names = ["joint/instruction-cr4-base", "pretraining/cr16-base", "pretraining/cr4-base"]
    files = [history(tmp_path / name, (0, "train", 1.0)) for name in names]
    labels = [row.checkpoint.label for row in read_histories(files)]
    assert labels == ["pretraining CR 4", "pretraining CR 16", "joint CR 4, from instruction"]


def test_a_history_row_without_loss_is_refused_with_file_and_line(tmp_path: Path) -> None:
    path = history(tmp_path / "pretraining/cr4-base", (0, "train", 1.0))
    path.write_text(path.read_text() + '{"step": 1, "split": "train"}\n')
    with pytest.raises(DataError, match=r"history.jsonl line 2 is no point row: field loss: field required"):
        read_histories([path])


def test_memory_use_without_a_condition_is_refused(tmp_path: Path) -> None:
    value = use(0.1)
    value["losses"] = {"right": {"mean": 1, "low": 1, "high": 1}}
    write_json(tmp_path / "pretraining/cr4-base/memory_use.json", value)
    with pytest.raises(DataError, match=r"field losses.wrong: field required"):
        read_memory_use([tmp_path / "pretraining/cr4-base/memory_use.json"])


def test_metrics_without_rows_and_a_system_given_twice_are_refused(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"system": "bm25", "confidence": 0.95, "rows": []})
    write_json(tmp_path / "b.json", {"system": "bm25"})
    with pytest.raises(DataError, match=r"b.json has no confidence, rows; delete it"):
        read_scores([tmp_path / "b.json"])
    with pytest.raises(DataError, match="both hold the system bm25"):
        read_scores([tmp_path / "a.json", tmp_path / "a.json"])
