"""Figures are drawn of what there is, as SVG and PNG, and say so where there is nothing."""

import json
from pathlib import Path
from typing import Any

import pytest

from clara.errors import DataError
from clara.evaluation.labels import checkpoint_of
from clara.evaluation.results import CheckpointDiagnostics, Diagnostics, Score, SystemScore
from clara.measurements import figures
from clara.measurements.training import Course, as_csv, read_courses


def history(folder: Path, place: str, rows: list[dict[str, Any]]) -> Path:
    path = folder / place / "history.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def courses(tmp_path: Path) -> list[Course]:
    steps = [{"step": 0, "split": "validation", "loss": 3.0}, {"step": 4, "split": "validation", "loss": 2.0}]
    joint = [row | {"recall@3": 0.25 + row["step"] / 8} for row in steps]
    again = [*joint, {"step": 4, "split": "validation", "loss": 1.5, "recall@3": 0.875}]
    train = {"step": 1, "split": "train", "loss": 2.5}
    files = [
        history(tmp_path, "pretraining/cr16-base", [*steps, train]), history(tmp_path, "pretraining/cr4-base", steps),
        history(tmp_path, "joint/instruction-cr4-base", again),
    ]  # fmt: skip
    return read_courses(files)


def test_the_course_of_training_is_read_by_stage_and_ratio_with_the_last_of_a_step(courses: list[Course]) -> None:
    assert [course.checkpoint.label for course in courses][:2] == ["pretraining CR 4", "pretraining CR 16"]
    assert courses[1].points("validation", "loss") == [(0, 3.0), (4, 2.0)]
    assert courses[2].points("validation", "recall") == [(0, 0.25), (4, 0.875)]
    assert courses[0].points("validation", "recall") == []
    lines = as_csv(courses).splitlines()
    assert lines[0] == "stage,init,ratio,variant,step,split,loss,recall_at,recall"
    assert lines[1] == "pretraining,,4,base,0,validation,3.0,,"
    assert lines[-1] == "joint,instruction,4,base,4,validation,1.5,3,0.875"


LENS = {"question": "Who plays?", "words": ["plays", "league"], "new": ["league"]}
ENDS = {"steps": 1, "validation_loss": None, "gradient_norms": {}, "documents": [], "share_named": 0.0}
DIAGNOSED = CheckpointDiagnostics(
    checkpoint_of(Path("joint/instruction-cr4-base/diagnostics.json")),
    Diagnostics.model_validate(ENDS | {"questions": [LENS]}),
)
ROWS = [
    {"k": k, "benchmark": "average", "setting": "oracle", "metric": metric, "n": 4}
    | {"value": 10.0 * k, "low": 1.0, "high": 60.0}
    for k in (1, 5)
    for metric in figures.BY_K_METRICS
]  # fmt: skip
MEASURED = {
    "by_k": [{"system": "instruction-cr4-base", "rows": ROWS}],
    "states": [
        {"checkpoint": f"pretraining-cr4-{variant}", "mixing": 0.25, "cosine": 0.5}
        | {"document": [[0, 1]], "memory": [[1, 2]]}
        for variant in ("base", "no_mse")
    ],
}  # fmt: skip
SCORES = [
    SystemScore(
        system, 0.95, Score(benchmark=benchmark, setting="oracle", metric=f"recall@{k}", value=k, low=0, high=60, n=4)
    )
    for system in ("bm25", "instruction-cr4-base")
    for benchmark in ("nq", "average")
    for k in (1, 3, 10)
]
SAID = {
    "validation_loss": "compression ratio, nominal",
    "joint_training": "Recall@3",
    "recall_bars": "Recall@10, Oracle pool",
    "logit_lens": "new: league",
    "by_k": "Recall@k, Oracle pool",
    "states": "pretraining CR 4, no_mse",
}


@pytest.mark.parametrize("name", SAID)
def test_a_figure_is_drawn_twice_the_same(name: str, courses: list[Course], tmp_path: Path) -> None:
    path = tmp_path / "figures" / f"{name}.svg"
    files = path, path.with_suffix(".png")
    figures.draw(path, courses, [DIAGNOSED], SCORES, MEASURED)
    first = [file.read_bytes() for file in files]
    assert SAID[name] in path.read_text()
    assert first[1].startswith(b"\x89PNG")
    figures.draw(path, courses, [DIAGNOSED], SCORES, MEASURED)
    assert [file.read_bytes() for file in files] == first
    figures.draw(path, [], [], [], {"by_k": [], "states": []}, command="snakemake it")
    assert path.read_bytes() != first[0]
    assert ("snakemake it" in path.read_text()) == (name in figures.MEASURED)


def test_an_unknown_figure_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no figure bars; the figures are validation_loss, joint_training"):
        figures.draw(tmp_path / "bars.svg", [], [], [], MEASURED)


def test_bars_of_recall_stand_in_the_order_of_their_cuts_with_every_system_that_ranks(tmp_path: Path) -> None:
    figures.draw(tmp_path / "recall_bars.svg", [], [], SCORES[::-1], MEASURED)
    text = (tmp_path / "recall_bars.svg").read_text()
    titles = [text.index(f">Recall@{k}, Oracle pool<") for k in (1, 3, 10)]
    assert titles == sorted(titles)
    assert "BM25" in text
    assert "CLaRa CR 4" in text
