"""Owners of stages, names of states, files of the user, and failures found in logs."""

import os
from pathlib import Path
from typing import Any

import pytest

from clara import config as configuration
from clara.plan import Plan, failures

ROOT = Path(__file__).resolve().parents[1]


def plan(**overrides: Any) -> Plan:
    return Plan(configuration.merge(configuration.load(ROOT / "config.yaml"), overrides), ROOT)


VARIANTS = {
    "base": {},
    "no_mse": {"pretraining": {"mse_weight": 0.0}},
    "soft": {"joint": {"selection": "soft"}},
    "wide": {"evaluation": {"scoring": {"confidence": 0.9}}},
}


@pytest.mark.parametrize(
    ("stage", "variant", "owner"),
    [
        ("pretraining", "no_mse", "no_mse"),
        ("joint", "no_mse", "no_mse"),
        ("pretraining", "soft", "base"),
        ("compression", "soft", "base"),
        ("joint", "soft", "soft"),
        ("metrics", "soft", "soft"),
        ("predictions", "wide", "base"),
        ("metrics", "wide", "wide"),
    ],
)
def test_a_stage_belongs_to_the_first_variant_with_its_settings(stage: str, variant: str, owner: str) -> None:
    init = "" if stage == "pretraining" else "instruction"
    assert plan(variants=VARIANTS).owner(stage, variant, init) == owner


def test_variants_of_instruction_tuning_share_what_starts_from_pretraining() -> None:
    made = plan(variants={"base": {}, "frozen": {"instruction": {"learns": ["generator"]}}})
    assert made.owner("joint", "frozen", "pretraining") == "base"
    assert made.owner("joint", "frozen", "instruction") == "frozen"


def test_settings_do_not_depend_on_the_order_of_keys() -> None:
    config = configuration.load(ROOT / "config.yaml")
    turned = dict(reversed(config.items())) | {"joint": dict(reversed(config["joint"].items()))}
    assert Plan(config, ROOT).settings("train_joint") == Plan(turned, ROOT).settings("train_joint")


@pytest.mark.parametrize(
    ("overrides", "unchanged", "changed"),
    [
        ({"joint": {"top_k": 4}}, ["pretrain", "compress_documents"], ["train_joint", "predict"]),
        ({"synthesis": {"temperature": 0.1}}, [], ["synthesize", "pretrain", "tune_instructions", "predict"]),
        ({"report": {"title": "X"}}, ["pretrain", "predict"], []),
        ({"candidates": {"size": 9}}, ["pretrain"], ["tune_instructions", "train_joint"]),
    ],
)
def test_a_state_belongs_to_the_settings_of_all_rules_before(
    overrides: dict[str, Any], unchanged: list[str], changed: list[str]
) -> None:
    def states(rules: list[str], made: Plan) -> list[str]:
        return [made.state(rule, "base", "instruction") for rule in rules]

    before, after = plan(), plan(**overrides)
    assert states(unchanged, before) == states(unchanged, after)
    assert not set(states(changed, before)) & set(states(changed, after))


def test_a_state_belongs_to_the_content_of_the_users_files(tmp_path: Path) -> None:
    questions = tmp_path / "questions.jsonl"

    def state() -> str:
        return plan(benchmarks={"nq": {"test": str(questions)}}).state("tune_instructions")

    questions.write_text("one")
    first = state()
    os.utime(questions, (1, 1))
    assert state() == first
    questions.write_text("two")
    assert state() != first


def test_files_of_the_user_are_found_through_environment_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLARA_TEST_DATA", str(tmp_path))
    (tmp_path / "q.jsonl").write_text("x")
    made = plan(benchmarks={"nq": {"test": "$CLARA_TEST_DATA/q.jsonl", "train": "$CLARA_TEST_DATA/missing.jsonl"}})
    assert made.user_files("prepare_questions", benchmark="nq") == [str(tmp_path / "q.jsonl")]


def test_a_released_checkpoint_more_leaves_the_state_of_another(tmp_path: Path) -> None:
    def checkpoints(*names: str) -> dict[str, Any]:
        for name in names:
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / name / "config.json").write_text(name)
        return {"released": {name: {"source": str(tmp_path / name), "base": None} for name in names}}

    one, two = plan(evaluation=checkpoints("a")), plan(evaluation=checkpoints("a", "b"))
    assert one.state("predict_released", released="a") == two.state("predict_released", released="a")
    assert two.state("predict_released", released="a") != two.state("predict_released", released="b")
    assert two.user_files("predict_released", released="b") == [str(tmp_path / "b" / "config.json")]
    (tmp_path / "a" / "config.json").write_text("another")
    three = plan(evaluation={"released": {"a": {"source": str(tmp_path / "a"), "base": None}}})
    assert three.state("predict_released", released="a") != one.state("predict_released", released="a")
    assert one.state("score", "base", "instruction") != two.state("score", "base", "instruction")


def test_the_files_of_a_models_folder_are_the_users(tmp_path: Path) -> None:
    for name in ("backbone", "teacher", "ranker", "cutter"):
        (tmp_path / name / "below").mkdir(parents=True)
        (tmp_path / name / "config.json").write_text("{}")
    made = plan(
        backbone={"source": str(tmp_path / "backbone")},
        synthesis={"model": str(tmp_path / "teacher")},
        evaluation={
            "dense": {"source": str(tmp_path / "ranker")},
            "cross_encoder": {"source": "cross-encoder/on-the-hub"},
            "llmlingua2": {"source": str(tmp_path / "cutter")},
        },
        measurements={"recovery": {"bert_score": str(tmp_path / "ranker")}},
    )
    file = {name: [str(tmp_path / name / "config.json")] for name in ("backbone", "teacher", "ranker", "cutter")}
    assert made.user_files("prepare_backbone") == file["backbone"]
    assert made.user_files("synthesize") == file["teacher"]
    assert made.user_files("measure_bert_score") == made.user_files("rank_neural", ranker="dense") == file["ranker"]
    assert made.user_files("rank_neural", ranker="cross_encoder") == []
    assert made.user_files("predict_compressed_text", method="hard_words") == []
    for rule in ("predict_compressed_text", "predict_given_compressed_text"):
        assert made.user_files(rule, method="llmlingua2") == file["cutter"]
    before = made.state("pretrain")
    (tmp_path / "backbone" / "config.json").write_text('{"changed": 1}')
    assert Plan(made.variants["base"], ROOT).state("pretrain") != before


def test_failures_are_the_last_lines_of_logs_of_this_run(tmp_path: Path) -> None:
    for name, text, age in [
        ("a", "50 %\nerror: the file x is empty", 0),
        ("b", "Traceback (most recent call last):\n  …\nValueError: no", 0),
        ("c", "Traceback (most recent call last):\n  …\nsafetensors._rust.SafetensorError: no", 0),
        ("old", "error: long ago", 1000),
        ("fine", "error: tried again\ndone", 0),
        ("empty", "", 0),
    ]:
        path = tmp_path / "rule" / f"{name}.log"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        os.utime(path, (10_000 - age, 10_000 - age))
    assert failures(tmp_path, since=9_999) == [
        f"{tmp_path}/rule/a.log: error: the file x is empty",
        f"{tmp_path}/rule/b.log: ValueError: no",
        f"{tmp_path}/rule/c.log: safetensors._rust.SafetensorError: no",
    ]
