"""The programs that measure and draw, called as a rule calls them, and the export of a checkpoint."""

import json
import re
from pathlib import Path

import pytest

from clara.errors import ConfigError
from clara.files import read_json
from clara.model import checkpoint
from clara.records import Prediction, Question
from clara.row_files import read_rows, write_rows
from tests import tiny
from tests.scripts.world import World, aside, settings
from workflow_scripts import (
    collect_training,
    draw_figure,
    measure_bert_score,
    measure_efficiency,
    measure_states,
    predict_by_k,
    rewrite_documents,
    score_by_k,
    score_grounding,
    score_recovery,
)


def test_memory_use_compares_four_conditions_at_the_confidence_asked_for(world: World) -> None:
    found = world.measure()
    assert found["losses"].keys() == {"right", "wrong", "none", "text"}
    assert found["n"] == 4
    assert found["confidence"] == 0.95
    for interval in (*found["losses"].values(), found["wrong_minus_right"]):
        assert interval["low"] <= interval["mean"] <= interval["high"]
    gap = found["losses"]["wrong"]["mean"] - found["losses"]["right"]["mean"]
    assert found["wrong_minus_right"]["mean"] == pytest.approx(gap, abs=2e-6)
    narrow = world.measure(confidence=0.6)
    assert narrow["confidence"] == 0.6
    assert narrow["losses"]["right"]["high"] < found["losses"]["right"]["high"]


def test_diagnostics_of_a_checkpoint_of_each_stage_lie_beside_it(world: World) -> None:
    moved = {"pretraining": {"compressor", "generator"}, "joint": {"query_reasoner", "generator"}}
    for card in (world.pretraining, world.joint):
        world.measure(checkpoint=card)
        found = read_json(card.with_name("diagnostics.json"))
        rows = [json.loads(line) for line in card.with_name("history.jsonl").read_text().splitlines()]
        losses = [row["loss"] for row in rows if row["split"] == "validation"]
        assert found["validation_loss"] == {"first": losses[0], "last": losses[-1]}
        assert found["gradient_norms"].keys() == moved[card.parent.name]
        assert bool(found["questions"]) == (card == world.joint)


def test_a_checkpoint_is_exported_by_the_command_line(world: World, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM
    from typer.testing import CliRunner

    from clara.cli import app

    done = CliRunner().invoke(app, ["export", str(world.joint.parent), "generator", str(tmp_path / "plain")])
    assert done.exit_code == 0, done.output
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "plain").config.use_cache
    again = CliRunner().invoke(app, ["export", str(world.joint), "judge", str(tmp_path / "other")])
    assert again.exit_code == 2
    assert "has no judge; it has compressor, generator, query_reasoner" in again.output


def test_answers_by_k_are_predicted_and_scored(world: World) -> None:
    files = [world.folder / "predictions" / f"instruction-cr8-base-k{k}.jsonl" for k in (1, 3)]
    scores = world.folder / "by_k" / "instruction-cr8-base.json"
    flags = world.flags(
        settings("predict_by_k", measurements={"by_k": [1, 3]}), checkpoint=world.joint, store=world.manifest,
        candidates=world.candidates["test.oracle"], system="instruction-cr8-base", state=world.folder / "state/by_k",
    )  # fmt: skip
    predict_by_k.main([*flags, "--predictions", *map(str, files)])
    score_by_k.main([*world.flags(settings("score_by_k"), scores=scores), "--predictions", *map(str, files)])
    assert {row["k"] for row in read_json(scores)["rows"]} == {1, 3}
    with pytest.raises(ConfigError, match="--predictions names 1 files for 2 values of k"):
        predict_by_k.main([*flags, "--predictions", str(files[0])])
    grounded = world.folder / "grounding" / "x.json"
    score_grounding.main(
        world.flags(
            settings("score_grounding"), predictions=files[1], candidates=world.candidates["test.oracle"],
            state=world.folder / "state/grounding", scores=grounded,
        )
    )  # fmt: skip
    found = read_json(grounded)
    assert (found["system"], found["judge"]) == ("instruction-cr8-base-k3", None)
    assert {row["metric"] for row in found["rows"]} <= {"words_found"}


def test_documents_are_rewritten_and_compared(world: World) -> None:
    unseen = tiny.question(8, docs=[0], gold=[0]).model_copy(update={"docs": ["New\nNew is unknown."]})
    pools = world.folder / "unseen.jsonl"
    write_rows(pools, [unseen])
    rows, scores = world.folder / "recovery" / "x.jsonl", world.folder / "recovery" / "x.json"
    rewrite_documents.main(
        world.flags(
            settings("rewrite_documents", measurements={"recovery": {"documents": 3, "max_new_tokens": 4}}),
            aside=aside("rewrite_documents"), checkpoint=world.pretraining, pairs=world.pairs, candidates=pools,
            system="pretraining-cr8-base",
            state=world.folder / "state/rewrite", rewritten=rows,
        )
    )  # fmt: skip
    with pytest.raises(ConfigError, match=r"measurements.recovery.bert_score = None: should name an encoder"):
        measure_bert_score.main(world.flags(settings("measure_bert_score"), rewritten=rows, measured=scores))
    encoder = tiny.encoder(world.folder / "encoder")
    measured = world.folder / "bert_score" / "x.json"
    chosen = settings("measure_bert_score", measurements={"recovery": {"bert_score": str(encoder)}})
    measure_bert_score.main(world.flags(chosen, rewritten=rows, measured=measured))
    assert len(read_json(measured)["f1"]) == 4
    score_recovery.main(world.flags(settings("score_recovery"), rewritten=rows, scores=scores))
    assert {row["metric"] for row in read_json(scores)["rows"]} >= {"rouge1", "rougeL", "entities_by_form"}
    score_recovery.main(world.flags(settings("score_recovery"), rewritten=rows, bert_score=measured, scores=scores))
    assert [row.benchmark for row in read_rows(Prediction, rows)] == ["seen"] * 3 + ["unseen"]
    found = read_json(scores)
    assert found["checkpoint"] == "pretraining-cr8-base"
    assert found["bert_score"] == str(encoder)
    assert "bert_score" in {row["metric"] for row in found["rows"]}
    assert "entities" not in {row["metric"] for row in found["rows"]}


def test_costs_states_and_figures_of_a_run(world: World) -> None:
    measured, states = world.folder / "efficiency" / "x.json", world.folder / "states" / "pretraining-cr8-base.json"
    measure_efficiency.main(
        world.flags(
            settings("measure_efficiency", measurements={"efficiency": {"questions": 1, "new_tokens": 2}}),
            checkpoint=world.joint, store=world.manifest, backbone=world.backbone,
            candidates=world.candidates["test.oracle"], measured=measured,
        )
    )  # fmt: skip
    assert read_json(measured)["ways"].keys() == {"memories", "text"}
    write_rows(world.folder / "more.parquet", tiny.passages() * 2)
    chosen = settings("measure_states", measurements={"states": {"documents": 8, "projection": "pca"}})
    measure_states.main(
        world.flags(chosen, checkpoint=world.pretraining, documents=world.folder / "more.parquet", states=states)
    )
    assert len(read_json(states)["memory"]) == 8
    world.measure()
    places = {"pretraining/cr8-base": world.pretraining, "joint/instruction-cr8-base": world.joint}
    for place, card in places.items():
        (world.folder / "run" / place).mkdir(parents=True, exist_ok=True)
        for name in ("history.jsonl", "diagnostics.json"):
            if card.with_name(name).exists():
                (world.folder / "run" / place / name).write_bytes(card.with_name(name).read_bytes())
    folder = world.folder / "run"
    svg = folder / "figures" / "states.svg"
    histories = ["--histories", *(str(folder / place / "history.jsonl") for place in places)]
    diagnosed = folder / "joint/instruction-cr8-base/diagnostics.json"
    flags = world.flags(settings("draw_figure"), diagnostics=diagnosed, measured=states, figure=svg)
    draw_figure.main([*flags, *histories])
    lacking = svg.with_name("by_k.svg")
    draw_figure.main(world.flags(settings("draw_figure"), figure=lacking))
    assert "measurements={which: [by_k]}" in " ".join(re.findall(r">([^<>]+)</text>", lacking.read_text()))
    collect_training.main([*world.flags(settings("collect_training"), course=folder / "training.csv"), *histories])
    assert "pretraining CR 8" in svg.read_text()
    assert svg.with_suffix(".png").exists()
    assert "joint,instruction,8,base,2,validation" in (folder / "training.csv").read_text()


def test_too_few_questions_for_memory_use_are_refused(world: World, tmp_path: Path) -> None:
    from clara.errors import DataError
    from clara.evaluation import memory_use

    with pytest.raises(DataError, match="at least two questions with gold documents, found 1"):
        memory_use.choose([[tiny.question(0, docs=[0], gold=[0])], [tiny.question(1, docs=[1], gold=[])]], 8)
    same: list[Question] = [tiny.question(number, docs=[0, 1], gold=[0]) for number in range(2)]
    model = checkpoint.load(world.joint, dtype="float32").model
    with pytest.raises(DataError, match="questions about different documents"):
        memory_use.measure(model, same, seed=0, confidence=0.9, samples=100)
