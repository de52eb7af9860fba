"""The programs that train, called as a rule calls them."""

import json
import shutil
from pathlib import Path

import pytest

from clara.errors import ConfigError
from clara.files import read_json
from clara.model import checkpoint
from clara.records import Prediction
from clara.row_files import read_rows, write_rows
from tests import tiny
from tests.scripts.world import World, aside, settings
from workflow_scripts import (
    answer_as_teacher,
    tune_instructions,
    tune_text_rag,
)

CHECKPOINT_FILES = {"card.json", "adapters.safetensors", "history.jsonl", "settings.json", "environment.json"}


def test_every_stage_leaves_a_whole_checkpoint(world: World) -> None:
    for card in (world.pretraining, world.instruction, world.joint):
        assert {path.name for path in card.parent.iterdir()} >= CHECKPOINT_FILES
        steps = [json.loads(line)["step"] for line in (card.parent / "history.jsonl").read_text().splitlines()]
        assert (min(steps), max(steps)) == (0, 2)
    pretraining, instruction, joint = map(checkpoint.read_card, (world.pretraining, world.instruction, world.joint))
    assert (pretraining.stage, instruction.stage, joint.stage) == ("pretraining", "instruction", "joint")
    assert pretraining.shape.num_memory == 4
    assert instruction.parent == pretraining.weights_hash
    assert joint.parent == instruction.weights_hash
    assert joint.roles == ["compressor", "generator", "query_reasoner"]
    assert joint.learned == ["query_reasoner", "generator"]


def test_instruction_tuning_goes_on_from_the_pretrained_generator(world: World) -> None:
    first = json.loads((world.instruction.parent / "history.jsonl").read_text().splitlines()[0])
    start = checkpoint.load(world.pretraining, dtype="float32").model
    assert any(b.abs().sum() > 0 for b in start.adapters.state("generator").values())
    assert first["step"] == 0
    cards = (world.pretraining, world.instruction)
    before, after = (checkpoint.state(checkpoint.load(card, dtype="float32").model) for card in cards)
    moved = max(float((after[key] - before[key]).abs().max()) for key in before if key.startswith("generator.adapter"))
    assert 0 < moved < 0.01  # two small steps away, not re-initialised


def test_joint_training_leaves_the_compressor_as_it_was(world: World) -> None:
    hashes = [checkpoint.load(card, dtype="float32").compressor_hash for card in (world.instruction, world.joint)]
    assert hashes[0] == hashes[1] == read_json(world.manifest)["compressor_hash"]


def test_the_supervised_reranker_is_a_setting_and_its_ranking_is_predicted(world: World, tmp_path: Path) -> None:
    kept = world.joint
    world.joint = tmp_path / "joint" / "card.json"
    try:
        world.join(joint={"objective": "ranking"}, state=tmp_path / "state")
        rows = world.predict()
    finally:
        world.joint = kept
    assert all(row.ranking is not None and row.prediction is not None for row in rows)
    learned = checkpoint.load(tmp_path / "joint" / "card.json", dtype="float32").card.learned
    assert learned == ["query_reasoner"]


def test_a_tuned_text_baseline_answers_otherwise_than_the_bare_backbone(world: World, tmp_path: Path) -> None:
    card = tmp_path / "text_rag" / "card.json"
    plan = {"instruction": {"optimization": {"learning_rate": 0.5}}}
    tune_text_rag.main(
        world.flags(
            settings("tune_text_rag", **plan), aside=aside("tune_text_rag"), backbone=world.backbone,
            candidates=world.candidates["train.oracle"], state=tmp_path / "state", card=card,
        )
    )  # fmt: skip
    assert checkpoint.read_card(card).learned == ["generator"]
    steps = [json.loads(line)["step"] for line in card.with_name("history.jsonl").read_text().splitlines()]
    assert max(steps) == 4  # two of instruction tuning, two of joint training
    bare, tuned = world.baseline("text_rag"), world.baseline("text_rag_tuned", checkpoint=card)
    assert [row.selected for row in tuned] == [row.selected for row in bare]
    assert [row.prediction for row in tuned] != [row.prediction for row in bare]
    with pytest.raises(ConfigError, match="text_rag_tuned needs one --checkpoint"):
        world.baseline("text_rag_tuned")


def test_a_student_learns_what_the_teacher_answers_from_text(world: World, tmp_path: Path) -> None:
    from clara.errors import DataError
    from clara.training.question_examples import answered_by_teacher, shown_documents

    answers = tmp_path / "answers.jsonl"
    answer_as_teacher.main(
        world.flags(
            settings("answer_as_teacher"), backbone=world.backbone, candidates=world.candidates["train.oracle"],
            answers=answers,
        )
    )  # fmt: skip
    rows = read_rows(Prediction, answers)
    assert [row.selected for row in rows] == [shown_documents(one, top_k=2, seed=42) for one in tiny.questions()]
    said = [row.model_copy(update={"prediction": f"said {row.id}"}) for row in rows]
    said[2] = said[2].model_copy(update={"prediction": " "})
    taught = answered_by_teacher(tiny.questions(), said)
    assert [question.golden_answers for question in taught] == [["said q0"], ["said q1"], ["said q3"]]
    with pytest.raises(DataError, match="no answer to 1 of 4 questions, first q0"):
        list(answered_by_teacher(tiny.questions(), rows[1:]))
    with pytest.raises(DataError, match="answered no question with a word"):
        list(answered_by_teacher(tiny.questions(), [row.model_copy(update={"prediction": None}) for row in rows]))
    ours = tmp_path / "ours" / "answers.jsonl"  # not in the folder whose record names the teacher's own
    ours.parent.mkdir()
    write_rows(ours, said)
    tune_instructions.main(
        world.flags(
            settings("tune_instructions"), aside=aside("tune_instructions"), checkpoint=world.pretraining,
            candidates=world.candidates["train.oracle"], teacher=ours, state=tmp_path / "state",
            card=tmp_path / "card.json",
        )
    )  # fmt: skip
    first, other = (json.loads((folder / "history.jsonl").read_text().splitlines()[0]) for folder in
                    (world.instruction.parent, tmp_path))  # fmt: skip
    assert first["loss"] != other["loss"]


def test_no_step_of_pretraining_leaves_a_checkpoint_of_the_bare_backbone(world: World, tmp_path: Path) -> None:
    kept, world.pretraining = world.pretraining, tmp_path / "pretraining" / "card.json"
    try:
        (world.folder / "state/pretrain").rename(tmp_path / "kept")
        world.pretrain(pretraining={"optimization": {"steps": 0}})
        found = checkpoint.load(world.pretraining, dtype="float32").model
    finally:
        world.pretraining = kept
        shutil.rmtree(world.folder / "state/pretrain", ignore_errors=True)
        (tmp_path / "kept").rename(world.folder / "state/pretrain")
    assert all(b.eq(0).all() for key, b in found.adapters.state("generator").items() if key.endswith("B"))


def test_running_a_training_program_twice_gives_the_same_bytes(world: World) -> None:
    before = {name: (world.joint.parent / name).read_bytes() for name in ("adapters.safetensors", "history.jsonl")}
    world.join()
    assert {name: (world.joint.parent / name).read_bytes() for name in before} == before
