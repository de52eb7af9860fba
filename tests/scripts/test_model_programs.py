"""The programs that need a model, in their order on tiny files, called as a rule calls them."""

import json
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from clara import config, program
from clara.config.rules import settings_for
from clara.errors import ConfigError
from clara.files import read_json
from clara.model import checkpoint
from clara.records import Prediction, Question, read_rows, write_rows
from tests import tiny
from workflow_scripts import (
    answer_as_teacher,
    collect_training,
    compress_documents,
    draw_figure,
    measure_efficiency,
    measure_memory_use,
    measure_states,
    predict,
    predict_baseline,
    predict_by_k,
    predict_compressed_text,
    predict_given,
    predict_given_text,
    predict_released,
    prepare_backbone,
    pretrain,
    rank_neural,
    rewrite_documents,
    score_by_k,
    score_grounding,
    score_recovery,
    train_joint,
    tune_instructions,
    tune_text_rag,
)

ROOT = Path(__file__).parents[2]
CHECKPOINT_FILES = {"card.json", "adapters.safetensors", "history.jsonl", "settings.json", "environment.json"}


def settings(rule: str, **changes: Any) -> str:
    values = config.merge(config.load(ROOT / "config.yaml"), config.load(ROOT / "configs/ci.yaml"))
    few = {"optimization": {"steps": 2, "validate_every": 1, "save_every": 1}}
    values = config.merge(values, {stage: few for stage in ("pretraining", "instruction", "joint")})
    values = config.merge(values, {"memory": {"document_max_tokens": 32}, "evaluation": {"memory_use_examples": 8}})
    return json.dumps(settings_for(rule, config.merge(values, changes)))


class World:
    """The files of a tiny run, and calls of its programs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.backbone = folder / "backbone" / "card.json"
        self.pretraining = folder / "pretraining" / "card.json"
        self.instruction = folder / "instruction" / "card.json"
        self.joint = folder / "joint" / "card.json"
        self.manifest = folder / "compression" / "manifest.json"
        self.pairs, self.documents = folder / "pairs.parquet", folder / "documents.parquet"
        write_rows(self.pairs, tiny.pairs())
        write_rows(self.documents, tiny.passages())
        self.candidates = {}
        for split in ("train.oracle", "test.oracle", "test.normal"):
            self.candidates[split] = folder / f"nq.{split}.jsonl"
            write_rows(self.candidates[split], tiny.questions())

    def prepare(self) -> None:
        prepare_backbone.main(["--settings", settings("prepare_backbone"), "--card", str(self.backbone)])

    def pretrain(self, **changes: Any) -> None:
        pretrain.main(
            self.flags(
                settings("pretrain", **changes), ratio=8, pairs=self.pairs, backbone=self.backbone,
                state=self.folder / "state/pretrain", card=self.pretraining,
            )
        )  # fmt: skip

    def tune(self) -> None:
        tune_instructions.main(
            self.flags(
                settings("tune_instructions"), checkpoint=self.pretraining, candidates=self.candidates["train.oracle"],
                state=self.folder / "state/tune", card=self.instruction,
            )
        )  # fmt: skip

    def compress(self) -> None:
        compress_documents.main(
            self.flags(
                settings("compress_documents"), checkpoint=self.instruction, documents=self.documents,
                state=self.folder / "state/compress", manifest=self.manifest,
            )
        )  # fmt: skip

    def join(self, *, start: Path | None = None, state: Path | None = None, **changes: Any) -> None:
        train_joint.main(
            self.flags(
                settings("train_joint", **changes), checkpoint=start or self.instruction, store=self.manifest,
                candidates=self.candidates["train.oracle"], state=state or self.folder / "state/joint", card=self.joint,
            )
        )  # fmt: skip

    def measure(self, *, checkpoint: Path | None = None, confidence: float = 0.95) -> Any:
        card = checkpoint or self.joint
        out = self.joint.parent / "memory_use.json"
        given = settings("measure_memory_use", evaluation={"scoring": {"confidence": confidence}})
        measure_memory_use.main(
            self.flags(
                given, checkpoint=card, history=card.with_name("history.jsonl"),
                candidates=self.candidates["test.oracle"], memory_use=out, diagnostics=card.parent / "diagnostics.json",
            )
        )  # fmt: skip
        return read_json(out)

    def predict(
        self, *, candidates: Path | None = None, checkpoint: Path | None = None, batch_size: int = 8
    ) -> list[Prediction]:
        out = self.folder / "predictions" / "clara.jsonl"
        given = settings("predict", evaluation={"generation": {"batch_size": batch_size}})
        flags = self.flags(
            given, system="clara", checkpoint=checkpoint or self.joint, store=self.manifest,
            state=self.folder / "state/predict", predictions=out,
        )  # fmt: skip
        pools = [candidates] if candidates else [self.candidates["test.oracle"], self.candidates["test.normal"]]
        predict.main([*flags, "--candidates", *map(str, pools)])
        return read_rows(Prediction, out)

    def baseline(self, name: str, **more: object) -> list[Prediction]:
        out = self.folder / "predictions" / f"{name}.jsonl"
        predict_baseline.main(
            self.flags(
                settings("predict_baseline"), baseline=name, backbone=self.backbone,
                candidates=self.candidates["test.oracle"], predictions=out, **more,
            )
        )  # fmt: skip
        return read_rows(Prediction, out)

    @staticmethod
    def flags(given: str, **paths: object) -> list[str]:
        pairs = [(f"--{name.replace('_', '-')}", str(value)) for name, value in paths.items()]
        return ["--settings", given, *(part for pair in pairs for part in pair)]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    made = World(tmp_path_factory.mktemp("chain"))
    for step in (made.prepare, made.pretrain, made.tune, made.compress, made.join):
        step()
    return made


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


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


def test_prompts_beyond_the_context_are_refused_before_any_answer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from clara.model.backbone import LoadedBackbone

    def refuse(self: object, tokens: int, what: str) -> None:
        if what.startswith("the prompt of question q2"):
            raise ConfigError(f"{what} takes {tokens} tokens")

    monkeypatch.setattr(LoadedBackbone, "require_room", refuse)
    monkeypatch.setattr("clara.evaluation.writers.generate", None)  # calling it would be another error
    with pytest.raises(ConfigError, match="the prompt of question q2 with its answer takes"):
        world.predict()
    with pytest.raises(ConfigError, match="the prompt of question q2 with its answer takes"):
        world.baseline("text_rag")


def test_predictions_rank_every_document_and_read_the_best(world: World) -> None:
    rows = world.predict()
    assert [(row.setting, row.id) for row in rows] == [(s, f"q{n}") for s in ("oracle", "normal") for n in range(4)]
    for row, asked in zip(rows, tiny.questions() * 2, strict=True):
        assert row.ranking is not None
        assert row.scores is not None
        assert sorted(row.ranking) == list(range(len(asked.docs)))
        assert row.ranking == sorted(range(len(asked.docs)), key=lambda index: -row.scores[index])
        assert row.selected == row.ranking[:2]
        assert row.prediction is not None


def test_answers_of_an_interrupted_run_are_kept_and_half_a_line_is_not(world: World) -> None:
    for old in (world.folder / "state/predict").glob("answers-*.jsonl"):
        old.unlink()
    wanted = world.predict(batch_size=1)
    (done,) = (world.folder / "state/predict").glob("answers-*.jsonl")
    lines = done.read_text().splitlines(keepends=True)
    marked = [line.replace('"prediction":"', '"prediction":"kept ') for line in lines]
    done.write_text("".join(marked[:-1]) + lines[-1][:20])
    again = world.predict(batch_size=1)
    kept = [(row.prediction or "").startswith("kept ") for row in again]
    # The last row is answered again, and with it the one of the other pool that reads the same, if there is one.
    assert len(lines) - 2 <= kept.count(True) < len(lines)
    assert all(row == old for row, old, is_kept in zip(again, wanted, kept, strict=True) if not is_kept)
    done.unlink()
    assert world.predict(batch_size=1) == wanted


def test_a_batch_of_which_some_is_done_is_answered_again(world: World) -> None:
    for old in (world.folder / "state/predict").glob("answers-*.jsonl"):
        old.unlink()
    wanted = world.predict(batch_size=4)
    (done,) = (world.folder / "state/predict").glob("answers-*.jsonl")
    lines = done.read_text().splitlines(keepends=True)
    done.write_text(lines[0].replace('"prediction":"', '"prediction":"kept '))
    assert world.predict(batch_size=4) == wanted


def test_baselines_answer_from_text_and_from_nothing(world: World) -> None:
    text, alone = world.baseline("text_rag"), world.baseline("no_retrieval")
    assert all(len(row.selected) == 2 and row.ranking is not None for row in text)
    assert all(row.selected == [] and row.ranking is None for row in alone)


def test_given_documents_are_read_by_the_compressor_of_an_earlier_stage_and_as_text(world: World) -> None:
    pools = [world.candidates["test.oracle"], world.candidates["test.normal"]]
    out = world.folder / "predictions"
    given = {"checkpoint": world.instruction, "store": world.manifest, "system": "given-instruction-cr8-base"}
    flags = world.flags(
        settings("predict_given"), **given, state=world.folder / "state/given", predictions=out / "given.jsonl"
    )
    predict_given.main([*flags, "--candidates", *map(str, pools)])
    flags = world.flags(settings("predict_given_text"), backbone=world.backbone, predictions=out / "text.jsonl")
    predict_given_text.main([*flags, "--candidates", *map(str, pools)])
    memories, text = read_rows(Prediction, out / "given.jsonl"), read_rows(Prediction, out / "text.jsonl")
    assert {row.system for row in memories} == {"given-instruction-cr8-base"}
    assert {row.system for row in text} == {"given-text"}
    assert [row.selected for row in memories] == [row.selected for row in text]
    for row in memories:
        assert len(row.selected) == 2
        assert row.ranking is None
        assert row.setting == "normal" or set(row.pos_index) <= set(row.selected)


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
            checkpoint=world.pretraining, pairs=world.pairs, candidates=pools, system="pretraining-cr8-base",
            state=world.folder / "state/rewrite", rewritten=rows,
        )
    )  # fmt: skip
    score_recovery.main(world.flags(settings("score_recovery"), rewritten=rows, scores=scores))
    assert [row.benchmark for row in read_rows(Prediction, rows)] == ["seen"] * 3 + ["unseen"]
    found = read_json(scores)
    assert found["checkpoint"] == "pretraining-cr8-base"
    assert {"rouge1", "rougeL", "entities"} <= {row["metric"] for row in found["rows"]}


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


def test_a_tuned_text_baseline_answers_otherwise_than_the_bare_backbone(world: World, tmp_path: Path) -> None:
    card = tmp_path / "text_rag" / "card.json"
    plan = {"instruction": {"optimization": {"learning_rate": 0.5}}}
    tune_text_rag.main(
        world.flags(
            settings("tune_text_rag", **plan), backbone=world.backbone, candidates=world.candidates["train.oracle"],
            state=tmp_path / "state", card=card,
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


def test_text_cut_to_the_tokens_of_a_memory_is_a_baseline(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from clara.model import generator

    read: list[int] = []
    monkeypatch.setattr(
        "clara.evaluation.writers.generate",
        lambda backbone, own, prompts, *rest, **more: (
            read.extend(map(len, prompts)) or generator.generate(backbone, own, prompts, *rest, **more)
        ),
    )
    out = world.folder / "predictions" / "hard_words_cr8.jsonl"
    flags = world.flags(
        settings("predict_compressed_text"), method="hard_words", ratio=8, backbone=world.backbone,
        candidates=world.candidates["test.oracle"], predictions=out,
    )  # fmt: skip
    predict_compressed_text.main(flags)
    rows = read_rows(Prediction, out)
    assert {row.system for row in rows} == {"hard_words_cr8"}
    short = list(read)
    read.clear()
    whole = world.baseline("text_rag")
    assert [row.selected for row in rows] == [row.selected for row in whole]
    assert max(short) < min(read)


def test_a_student_learns_what_the_teacher_answers_from_text(world: World, tmp_path: Path) -> None:
    from clara.errors import DataError
    from clara.training.examples import answered_by_teacher, shown_documents

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
        answered_by_teacher(tiny.questions(), rows[1:])
    ours = tmp_path / "ours" / "answers.jsonl"  # not in the folder whose record names the teacher's own
    ours.parent.mkdir()
    write_rows(ours, said)
    tune_instructions.main(
        world.flags(
            settings("tune_instructions"), checkpoint=world.pretraining, candidates=world.candidates["train.oracle"],
            teacher=ours, state=tmp_path / "state", card=tmp_path / "card.json",
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


def test_a_released_checkpoint_is_a_system(world: World, tmp_path: Path) -> None:
    from tests.model.released_writer import write

    source = write(tmp_path / "theirs").source
    out = tmp_path / "released_theirs.jsonl"
    flags = world.flags(
        settings("predict_released", evaluation={"released": {"theirs": {"source": str(source), "base": None}}}),
        name="theirs", documents=world.documents, candidates=world.candidates["test.oracle"],
        state=tmp_path / "state", predictions=out,
    )  # fmt: skip
    predict_released.main(flags)
    rows = read_rows(Prediction, out)
    assert {row.system for row in rows} == {"released_theirs"}
    assert all(row.ranking is not None and row.prediction is not None for row in rows)
    flags[flags.index("theirs")] = "others"
    with pytest.raises(ConfigError, match=r"evaluation.released has no others; it has theirs"):
        predict_released.main(flags)


def test_a_cross_encoder_ranks_without_answering(world: World, tmp_path: Path) -> None:
    from transformers import BertForSequenceClassification

    from tests.evaluation.test_other_models import write

    source = write(tmp_path / "cross", BertForSequenceClassification, num_labels=1)
    out = tmp_path / "cross_encoder.jsonl"
    given = settings("rank_neural", evaluation={"cross_encoder": {"source": str(source), "max_tokens": 12}})
    candidates = world.candidates["test.oracle"]
    rank_neural.main(world.flags(given, ranker="cross_encoder", candidates=candidates, predictions=out))
    for row in read_rows(Prediction, out):
        assert (row.prediction, row.selected) == (None, [])
        assert row.scores is not None
        assert row.ranking == sorted(range(len(row.scores)), key=lambda place: -(row.scores or [])[place])


def test_running_a_training_program_twice_gives_the_same_bytes(world: World) -> None:
    before = {name: (world.joint.parent / name).read_bytes() for name in ("adapters.safetensors", "history.jsonl")}
    world.join()
    assert {name: (world.joint.parent / name).read_bytes() for name in before} == before


Call = Callable[[World, Path], object]
REFUSALS: list[tuple[str, Call]] = [
    ("does not exist", lambda world, tmp: world.predict(candidates=tmp / "nq.test.oracle.jsonl")),
    ("holds no rows", lambda world, tmp: world.predict(candidates=empty(tmp))),
    (r"must be named BENCHMARK\.test\.oracle\.jsonl", lambda world, tmp: world.predict(candidates=tmp / "x.jsonl")),
    ("is no checkpoint card", lambda world, tmp: world.predict(checkpoint=world.backbone)),
    ("is no checkpoint card", lambda world, tmp: world.measure(checkpoint=world.manifest)),
    ("a checkpoint of instruction cannot select", lambda world, tmp: world.predict(checkpoint=world.instruction)),
    ("was built by a compressor with hash", lambda world, tmp: world.join(start=world.pretraining)),
    ("of a run with other settings or inputs", lambda world, tmp: world.pretrain(seed=43)),
    (
        "--settings is no PrepareBackbone settings",
        lambda world, tmp: prepare_backbone.main(["--settings", "{}", "--card", "c"]),
    ),
]


def empty(folder: Path) -> Path:
    (folder / "nq.test.oracle.jsonl").write_text("")
    return folder / "nq.test.oracle.jsonl"


@pytest.mark.parametrize(("message", "call"), REFUSALS, ids=[message for message, _ in REFUSALS])
def test_bad_input_ends_in_one_sentence_and_status_2(
    message: str, call: Call, world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import re

    with pytest.raises(SystemExit) as raised:
        program.run(lambda: call(world, tmp_path) and None)
    last = capsys.readouterr().err.splitlines()[-1]
    assert raised.value.code == 2
    assert last.startswith("error: ")
    assert re.search(message, last)


def test_too_few_questions_for_memory_use_are_refused(world: World, tmp_path: Path) -> None:
    from clara.errors import DataError
    from clara.evaluation import memory_use

    with pytest.raises(DataError, match="at least two questions with gold documents, found 1"):
        memory_use.choose([[tiny.question(0, docs=[0], gold=[0])], [tiny.question(1, docs=[1], gold=[])]], 8)
    same: list[Question] = [tiny.question(number, docs=[0, 1], gold=[0]) for number in range(2)]
    model = checkpoint.load(world.joint, dtype="float32").model
    with pytest.raises(DataError, match="questions about different documents"):
        memory_use.measure(model, same, seed=0, confidence=0.9, samples=100)
