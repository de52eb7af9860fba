"""Reasons as changes of settings and code, times from earlier runs or the estimate, totals, tables."""

import copy
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from clara.runs import explain
from clara.runs.jobs import Job, shown
from clara.sizing.steps import Size
from tests.runs.conftest import SETTINGS

MODULES = {"clara.a": "1", "clara.b": "2"}


def size(job: Job) -> Size:
    return Size(100, 90.0, 1, 100, 50.0)


def test_a_changed_setting_is_told_by_its_place_in_the_configuration(
    make_job: Callable[..., Job], make_result: Callable[..., None]
) -> None:
    before = copy.deepcopy(SETTINGS) | {"seed": 41}
    before["joint"]["optimization"]["learning_rate"] = 1.0e-3
    job = make_job(params_changed=True)
    make_result(job, before)
    assert explain.why(job, MODULES) == ["joint.optimization.learning_rate 1.0e-3 -> 2.0e-4", "seed 41 -> 42"]


def test_names_of_settings_are_those_of_the_configuration_and_not_of_the_program(
    make_job: Callable[..., Job], make_result: Callable[..., None]
) -> None:
    job = make_job(rule="make_candidates", settings=json.dumps({"size": 20}), params_changed=True)
    make_result(job, {"size": 6})
    assert explain.why(job, MODULES) == ["candidates.size 6 -> 20"]


def test_changed_code_is_told_by_module(make_job: Callable[..., Job], make_result: Callable[..., None]) -> None:
    job = make_job(params_changed=True)
    make_result(job, code="old", modules={"clara.a": "0", "clara.b": "2", "clara.c": "3"})
    assert explain.why(job, MODULES) == ["code changed: clara.a, clara.c"]


def test_results_without_a_record_and_new_inputs_are_told(make_job: Callable[..., Job]) -> None:
    assert explain.why(make_job(params_changed=True), MODULES) == [
        "settings or code changed (no record beside the result tells which)"
    ]
    assert explain.why(make_job(changed_inputs=["data/x.jsonl", "list"]), MODULES) == [
        "newer input: data/x.jsonl",
        "the list of its inputs changed",
    ]
    assert explain.why(make_job(waits=True, changed_inputs=["results/x"]), MODULES) == []


def test_time_is_the_median_of_earlier_runs_of_the_job_else_of_the_rule_else_the_estimate(
    make_job: Callable[..., Job],
) -> None:
    four, sixteen = make_job(4), make_job(16)
    assert explain.cost(four, size(four)) == (90.0, 0.0, 50.0, False)
    path = Path(sixteen.benchmark)
    path.parent.mkdir(parents=True)
    path.write_text('{"s": 30}\n{"s": 10}\n{"s": 20}\n')
    assert explain.cost(sixteen, size(sixteen)).seconds == 20
    on_two = four._replace(resources={"mem_mb": 1, "runtime": 1, "gpu": 2})
    assert explain.cost(on_two, size(on_two)) == (20.0, pytest.approx(40 / 3600), 50.0, True)


def test_the_text_groups_by_rule_and_ends_with_totals_and_tables(make_job: Callable[..., Job]) -> None:
    report = make_job(
        rule="build_report", outputs=["results/demo/report/tables/results.csv"], benchmark="b.jsonl", missing=["x", "y"]
    )
    found = explain.explain([make_job(4, waits=True), make_job(16, waits=True), report], size, lambda rule: MODULES)
    text = explain.text(found)
    assert "train_joint           2 jobs   1 min 30 s each (estimated)\n    follows the above" in text
    assert "missing: x and 1 more" in text
    assert "In all 3 jobs, 4 min 30 s one after the other, 0.0 GPU hours, about 150 MB of disk." in text
    assert text.endswith("Tables written again: results/demo/report/tables/results.csv")
    assert explain.plain(found)["rules"][0]["jobs"] == [
        "train_joint instruction-cr4-base",
        "train_joint instruction-cr16-base",
    ]
    assert explain.text([]).startswith("Nothing will run")


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.0e-3, "1.0e-3"), (2.5e-5, "2.5e-5"), (0.1, "0.1"), (3, "3"), (None, "null"), (["a"], '["a"]'), ("x", "x")],
)
def test_settings_are_shown_as_the_configuration_writes_them(value: object, text: str) -> None:
    assert shown(value) == text
