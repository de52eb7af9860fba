"""Costs from records: sums by program and device, GPU hours, and what is left out."""

from pathlib import Path

import pytest

from clara.evaluation.costs import read_costs, read_energy
from clara.files import write_json


def record(path: Path, program: str, seconds: float, *, device: str = "cpu", memory: int = 100) -> None:
    content = {"command": [program, "--flag"], "wall_seconds": seconds, "device": device, "peak_memory_mib": memory}
    write_json(path, content)


def test_times_are_summed_and_memory_is_the_largest(tmp_path: Path) -> None:
    record(tmp_path / "joint/a/environment.json", "train_joint.py", 1800.0, device="H100", memory=300)
    record(tmp_path / "joint/b/environment.json", "train_joint.py", 3600.0, device="H100", memory=200)
    record(tmp_path / "corpus/provenance/passages.json", "split_passages.py", 4.5)
    record(tmp_path / "report/provenance/index.json", "build_report.py", 9.0)
    (tmp_path / "corpus/provenance/broken.json").write_text("{")
    write_json(tmp_path / "corpus/report.json", {"wall_seconds": 7})
    joint, corpus = read_costs(tmp_path)
    assert joint == ("train_joint", "H100", 2, 5400.0, 3600.0, 0, 0.0, 0, 300, 1.5)
    assert joint.gpu_hours == pytest.approx(1.5)
    assert (corpus.program, corpus.gpu_hours) == ("split_passages", 0.0)


def test_attempts_that_ended_early_cost_time_and_steps(tmp_path: Path) -> None:
    killed = {"number": 1, "reason": "killed", "seconds": 600.0, "lost_steps": 3, "host": "a", "job": None}
    content = {"command": ["pretrain.py"], "wall_seconds": 1200.0, "device": "H100"}
    write_json(tmp_path / "pretraining/a/environment.json", {**content, "earlier_attempts": [killed, killed]})
    write_json(tmp_path / "pretraining/b/environment.json", {**content, "earlier_attempts": []})
    (cost,) = read_costs(tmp_path)
    assert (cost.seconds, cost.longest) == (3600.0, 1200.0)
    assert (cost.attempts, cost.early_seconds, cost.lost_steps) == (2, 1200.0, 6)
    assert cost.gpu_hours == pytest.approx(1.0)


def test_gpu_hours_count_every_gpu_that_a_step_held(tmp_path: Path) -> None:
    killed = {"number": 1, "reason": "killed", "seconds": 1800.0, "lost_steps": 0, "host": "a", "job": None}
    content = {"command": ["pretrain.py"], "wall_seconds": 1800.0, "device": "H100", "earlier_attempts": [killed]}
    write_json(tmp_path / "pretraining/a/environment.json", {**content, "gpus": 4})
    write_json(tmp_path / "pretraining/b/environment.json", {**content, "gpus": 1})
    (cost,) = read_costs(tmp_path)
    assert cost.gpu_hours == pytest.approx(5.0)


def test_a_run_without_records_has_no_costs(tmp_path: Path) -> None:
    assert read_costs(tmp_path) == []


def test_energy_is_that_of_all_records_in_kilowatt_hours(tmp_path: Path) -> None:
    content = {"command": ["pretrain.py"], "wall_seconds": 60.0, "device": "H100"}
    write_json(tmp_path / "pretraining/a/environment.json", content)
    assert read_energy(tmp_path) is None
    for name, span in (("b", [0.0, 60.0, 0.0, 1.8e6]), ("c", [30.0, 90.0, 0.9e6, 3.6e6])):
        write_json(tmp_path / f"pretraining/{name}/environment.json", {**content, "energy": {"card": span}})
    assert read_energy(tmp_path) == pytest.approx(1.0)
