import gc
import json
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from clara import config
from clara.config.rules import Pretrain, TrainJoint, TuneInstructions, aside_for, settings_for
from clara.errors import CheckpointError, ConfigError, DataError
from clara.model import checkpoint
from clara.model.adapters import COMPRESSOR, GENERATOR, QUERY_REASONER
from clara.model.clara import ClaraModel
from clara.model.store import MemoryStore
from clara.records import Pair, Question
from clara.training import processes, stage_run, stages
from clara.training.joint import JointObjective
from clara.training.objectives import CompressionObjective
from tests import tiny
from tests.training.counted import Counted, Second

ROOT = Path(__file__).parents[2]


def settings(rule: str, **changes: Any) -> dict[str, Any]:
    values = config.merge(config.load(ROOT / "config.yaml"), config.load(ROOT / "configs/ci.yaml"))
    few = {"optimization": {"steps": 1, "validate_every": 1, "learning_rate": 1e-9}}
    values = config.merge(values, {stage: few for stage in ("pretraining", "instruction", "joint")})
    values = config.merge(values, changes)
    return config.merge(settings_for(rule, values), aside_for(rule, values))


def pretrain(
    backbone: Path,
    folder: Path,
    *,
    pairs: Iterable[Pair] | None = None,
    memory: dict[str, Any] | None = None,
    **pretraining: Any,
) -> checkpoint.LoadedCheckpoint:
    given = Pretrain.model_validate(
        settings("pretrain", memory=memory or {}, pretraining=pretraining, lora={"dropout": 0.0})
    )
    card = folder / "pretrained" / "card.json"
    rows = tiny.pairs() if pairs is None else pairs
    stages.pretrain(
        given, ratio=16, pairs=rows, backbone=backbone, state=folder / "state", card=card, inputs=[backbone]
    )
    return checkpoint.load(card, dtype="float32")


def tune(
    start: Path, folder: Path, *, questions: Iterable[Question] | None = None, **instruction: Any
) -> checkpoint.LoadedCheckpoint:
    given = TuneInstructions.model_validate(settings("tune_instructions", instruction=instruction))
    card = folder / "tuned" / "card.json"
    stages.tune_instructions(
        given, start=start, questions=tiny.questions() if questions is None else questions,
        state=folder / "state", card=card, inputs=[start],
    )  # fmt: skip
    return checkpoint.load(card, dtype="float32")


def join(
    start: Path,
    folder: Path,
    *,
    questions: Iterable[Question] | None = None,
    manifest: Path | None = None,
    **joint: Any,
) -> checkpoint.LoadedCheckpoint:
    manifest = manifest or tiny.store(checkpoint.load(start, dtype="float32"), folder)
    card = folder / "joint" / "card.json"
    stages.train_joint(
        TrainJoint.model_validate(settings("train_joint", joint=joint)),
        start=start,
        store=manifest,
        questions=tiny.questions() if questions is None else questions,
        state=folder / "state",
        card=card,
        inputs=[start, manifest],
    )
    return checkpoint.load(card, dtype="float32")


def same(one: ClaraModel, other: ClaraModel, role: str, other_role: str | None = None) -> bool:
    pairs = zip(one.role_parameters(role), other.role_parameters(other_role or role), strict=True)
    return all(torch.allclose(a, b, atol=1e-6) for a, b in pairs)


@pytest.fixture
def start(model: ClaraModel, tmp_path: Path) -> Path:
    return tiny.save(model, tmp_path / "start")


@pytest.mark.parametrize("power", [0, 1])
def test_pretraining_weighs_tokens_by_the_power_that_it_is_told(power: int, model: ClaraModel, tmp_path: Path) -> None:
    backbone, at_once = model.backbone.card.path, {"steps": 0}
    other = pretrain(backbone, tmp_path, memory={"idf_power": power}, optimization=at_once).model
    model.shape = other.shape
    model.set_salience(sorted({pair.document for pair in tiny.pairs()}))
    assert other.shape.idf_power == power
    assert torch.equal(other.roles[COMPRESSOR].salience, model.roles[COMPRESSOR].salience)  # type: ignore[arg-type]
    assert bool(other.roles[COMPRESSOR].salience.eq(1).all()) == (power == 0)


def test_instruction_tuning_keeps_the_generator_unless_told_to_reset_it(
    start: Path, model: ClaraModel, tmp_path: Path
) -> None:
    assert same(tune(start, tmp_path / "kept").model, model, GENERATOR)
    reset = tune(start, tmp_path / "reset", reset_generator=True)
    assert all(
        value.abs().max() < 1e-6 for key, value in reset.model.adapters.state(GENERATOR).items() if key[-1] == "B"
    )
    assert same(reset.model, model, COMPRESSOR)


def test_what_does_not_learn_stays_bit_for_bit(start: Path, model: ClaraModel, tmp_path: Path) -> None:
    optimization = {"learning_rate": 0.1}
    tuned = tune(start, tmp_path, learns=[GENERATOR], optimization=optimization)
    assert tuned.card.learned == [GENERATOR]
    assert tuned.compressor_hash == checkpoint.load(start, dtype="float32").compressor_hash
    assert not same(tuned.model, model, GENERATOR)


@pytest.mark.parametrize("init", ["compressor", "random"])
def test_the_query_reasoner_starts_where_it_is_told_to(
    init: str, start: Path, model: ClaraModel, tmp_path: Path
) -> None:
    joined = join(start, tmp_path, reasoner_init=init)
    assert same(joined.model, model, QUERY_REASONER, COMPRESSOR) == (init == "compressor")
    model.add_query_reasoner(init, seed=42)  # type: ignore[arg-type]
    assert same(joined.model, model, QUERY_REASONER)


def test_joint_training_moves_the_maps_that_are_asked_for(start: Path, tmp_path: Path) -> None:
    plain = join(start, tmp_path / "plain").model
    assert (plain.roles[QUERY_REASONER].question_map, plain.document_map) == (None, None)
    joined = join(start, tmp_path / "map", question_map=True, optimization={"learning_rate": 1e-2}).model
    assert joined.document_map is None
    both = join(
        start, tmp_path / "both", question_map=True, document_map=True, optimization={"learning_rate": 1e-2}
    ).model
    for matrix in (
        joined.roles[QUERY_REASONER].question_map,
        both.roles[QUERY_REASONER].question_map,
        both.document_map,
    ):
        assert matrix is not None
        assert matrix.abs().max() > 1e-3


@pytest.mark.parametrize("stage", ["pretraining", "instruction"])
def test_the_supervised_reranker_moves_the_query_reasoner_alone_from_either_start(
    stage: str, model: ClaraModel, tmp_path: Path
) -> None:
    start = tiny.save(model, tmp_path / "start", stage=stage)
    joined = join(start, tmp_path, objective="ranking", optimization={"learning_rate": 1e-2})
    assert joined.card.learned == [QUERY_REASONER]
    loaded = checkpoint.load(start, dtype="float32").model
    for role in (COMPRESSOR, GENERATOR):
        assert all(
            torch.equal(a, b)
            for a, b in zip(joined.model.role_parameters(role), loaded.role_parameters(role), strict=True)
        )
    assert not same(joined.model, model, QUERY_REASONER, COMPRESSOR)
    rows = [json.loads(line) for line in (tmp_path / "joint" / "history.jsonl").read_text().splitlines()]
    assert all({"loss", "p_max", "entropy", "recall@2"} <= row.keys() for row in rows)


def test_questions_that_no_ranking_can_be_learned_from_are_left_out_aloud(
    start: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    useless = [tiny.question(7, docs=[0, 1], gold=[]), tiny.question(8, docs=[0], gold=[0])]
    join(start, tmp_path / "some", questions=[*tiny.questions(), *useless], objective="ranking")
    assert "2 of 6 questions lack gold or other documents; left out" in capsys.readouterr().err
    with pytest.raises(DataError, match="none of 2 questions has both gold and other documents"):
        join(start, tmp_path / "none", questions=useless, objective="ranking")


def test_the_marginal_form_trains_on_prompts_of_one_document(start: Path, model: ClaraModel, tmp_path: Path) -> None:
    joined = join(start, tmp_path, selection="marginal", temperature=1.0, optimization={"learning_rate": 1e-2})
    assert joined.card.learned == [QUERY_REASONER, GENERATOR]
    assert not same(joined.model, model, QUERY_REASONER, COMPRESSOR)
    assert not same(joined.model, model, GENERATOR)


def handed_over(monkeypatch: pytest.MonkeyPatch, stage: Callable[[], object]) -> dict[str, Any]:
    """What a stage hands to the loop, which is not run."""
    found: dict[str, Any] = {}

    def train(model: ClaraModel, objective: object, **options: Any) -> None:
        found.update(options, objective=objective, model=model)
        raise InterruptedError

    monkeypatch.setattr(stage_run, "train", train)
    with pytest.raises(InterruptedError):
        stage()
    return found


@pytest.mark.parametrize("selection", ["straight_through", "gumbel", "soft", "marginal"])
def test_every_setting_of_the_selection_reaches_joint_training(
    selection: str, start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = {"selection": selection, "temperature": 0.3, "temperature_end": 0.1, "mask_epsilon": 1e-8, "top_k": 3}
    found = handed_over(monkeypatch, lambda: join(start, tmp_path, learns=[QUERY_REASONER], **other))
    objective = found["objective"]
    assert isinstance(objective, JointObjective)
    assert (objective.selection, objective.temperature, objective.mask_epsilon) == (selection, (0.3, 0.1), 1e-8)
    assert (objective.k, found["learns"]) == (3, [QUERY_REASONER])


def test_every_setting_of_the_losses_reaches_the_other_stages(
    start: Path, model: ClaraModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = {"mse_weight": 0.7, "mse_reduction": "sum"}
    pretraining = partial(pretrain, model.backbone.card.path, tmp_path, **other)
    tuning = partial(tune, start, tmp_path, learns=[GENERATOR], **other)
    for stage, learns in ((pretraining, [COMPRESSOR, GENERATOR]), (tuning, [GENERATOR])):
        found = handed_over(monkeypatch, stage)
        objective = found["objective"]
        assert isinstance(objective, CompressionObjective)
        assert (objective.mse_weight, objective.mse_reduction, found["learns"]) == (0.7, "sum", learns)


def test_a_prompt_beyond_the_models_context_is_refused_before_the_first_step(
    start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from clara.model.backbone import LoadedBackbone

    monkeypatch.setattr(LoadedBackbone, "context", 50)
    with pytest.raises(
        ConfigError, match=r"the prompt of q0 with its target takes \d+ tokens, but .* at most 50; lower"
    ):
        tune(start, tmp_path)
    assert not list((tmp_path / "state").glob("step-*"))


def test_what_a_training_shortens_is_said_in_one_line(
    model: ClaraModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    backbone = model.backbone.card.path
    handed_over(monkeypatch, lambda: pretrain(backbone, tmp_path / "whole", max_target_tokens=500))
    assert "longer than" not in capsys.readouterr().err
    short: dict[str, Any] = {"memory": {"document_max_tokens": 16}, "qa_target": "list", "max_target_tokens": 30}
    cut = sum(len(model.tokens.text(text)) > 16 for text in tiny.TEXTS)
    assert 0 < cut < 6
    sentence = (
        f"pretraining pretrained: its 6 examples read 6 documents, of which {cut} are longer than "
        "memory.document_max_tokens and lose their ends; of their targets 6 are longer than max_target_tokens and are "
        "shortened, lists by 6 whole pairs"
    )
    for state in ("first", "first", "second process"):  # the counts lie with the examples
        if state == "second process":
            monkeypatch.setattr(stage_run, "join_launch", Second)
        handed_over(monkeypatch, lambda: pretrain(backbone, tmp_path / "cut", kinds=["simple"], **short))
        said = [line for line in capsys.readouterr().err.splitlines() if "longer than" in line]
        assert said == ([] if state == "second process" else [sentence])


def test_no_row_is_held_while_pretraining_learns(
    model: ClaraModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs, left = Counted(tiny.pairs()), list[int]()
    stages_train = stage_run.train

    def train(*given: Any, **options: Any) -> Any:
        gc.collect()
        left.append(len(pairs.alive))
        return stages_train(*given, **options)

    monkeypatch.setattr(stage_run, "train", train)
    for qa_target in ("list", "answer"):
        pretrain(model.backbone.card.path, tmp_path / qa_target, pairs=pairs, qa_target=qa_target)
    assert left == [0, 0]
    assert pairs.most <= 6
    assert pairs.passes <= 2 * 4


def test_a_process_that_is_not_the_main_one_reads_no_rows_and_takes_over_what_that_has_made(
    model: ClaraModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never() -> Iterator[Pair]:
        pytest.fail("read")
        yield

    backbone = model.backbone.card.path
    first = handed_over(monkeypatch, lambda: pretrain(backbone, tmp_path))
    assert list((tmp_path / "state").glob("examples-*"))  # an interrupted run finds them
    monkeypatch.setattr(stage_run, "join_launch", Second)
    second = handed_over(monkeypatch, lambda: pretrain(backbone, tmp_path, pairs=never()))
    assert second["validation"] == first["validation"]
    assert torch.equal(second["model"].salience, first["model"].salience)
    assert not first["model"].salience.eq(1).all()


@pytest.mark.parametrize("stage", [tune, join, partial(join, objective="ranking")])
def test_questions_are_gone_through_once_by_the_main_process_and_none_is_held(
    stage: Callable[..., object], start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never() -> Iterator[Question]:
        pytest.fail("read")
        yield

    if stage is not tune:  # its store is made once
        stage = partial(stage, manifest=tiny.store(checkpoint.load(start, dtype="float32"), tmp_path))
    questions = Counted(tiny.questions())
    first = handed_over(monkeypatch, lambda: stage(start, tmp_path, questions=questions))
    gc.collect()
    assert (questions.passes, len(questions.alive)) == (1, 0)
    assert questions.most <= 2
    handed_over(monkeypatch, lambda: stage(start, tmp_path, questions=never()))  # an interrupted run finds them
    monkeypatch.setattr(stage_run, "join_launch", Second)
    second = handed_over(monkeypatch, lambda: stage(start, tmp_path, questions=never()))
    assert second["validation"] == first["validation"]


def test_the_main_process_alone_reads_the_whole_store_at_each_start(
    start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = tiny.store(checkpoint.load(start, dtype="float32"), tmp_path)
    stage, read = partial(join, start, tmp_path, manifest=manifest), list[Path]()
    monkeypatch.setattr(MemoryStore, "require_unharmed", lambda store: read.append(store.path))
    handed_over(monkeypatch, stage)
    handed_over(monkeypatch, stage)
    assert read == 2 * [manifest]
    monkeypatch.setattr(processes, "any_process", lambda flag, launch: flag)
    for module in (stages, stage_run):
        monkeypatch.setattr(module, "join_launch", Second)
    handed_over(monkeypatch, stage)
    assert read == 2 * [manifest]


def test_examples_are_deleted_when_the_checkpoint_is_written(start: Path, tmp_path: Path) -> None:
    (tmp_path / "state" / "examples-of-other-settings").mkdir(parents=True)
    tune(start, tmp_path)
    assert (tmp_path / "tuned" / "adapters.safetensors").exists()
    assert {path.name.partition("-")[0] for path in (tmp_path / "state").iterdir()} == {"step"}


def test_float16_is_refused_by_what_learns_alone(
    model: ClaraModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from clara.model.backbone import LoadedBackbone

    monkeypatch.setattr(LoadedBackbone, "dtype", torch.float16)
    backbone = model.backbone.card.path
    with pytest.raises(ConfigError, match=r"pretraining computes in float16, but trainings need bfloat16 or float32"):
        pretrain(backbone, tmp_path)
    assert not (tmp_path / "state").exists()
    handed_over(monkeypatch, lambda: pretrain(backbone, tmp_path, optimization={"steps": 0}))


@pytest.mark.parametrize("flag", [False, True])
def test_gradient_checkpointing_is_on_where_it_is_asked_for(
    flag: bool, start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    optimization = {"gradient_checkpointing": flag}
    found = handed_over(monkeypatch, partial(tune, start, tmp_path, optimization=optimization))
    assert found["model"].language_model.is_gradient_checkpointing == flag


def test_training_on_checkpointed_layers_ends_with_the_same_weights(start: Path, tmp_path: Path) -> None:
    found = [
        join(start, tmp_path / str(flag), optimization={"gradient_checkpointing": flag, "learning_rate": 1e-2})
        for flag in (False, True)
    ]
    assert same(found[0].model, found[1].model, QUERY_REASONER)


def test_a_finished_state_of_other_inputs_is_not_gone_on_from(
    start: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = TuneInstructions.model_validate(settings("tune_instructions"))
    rows = tmp_path / "rows.jsonl"
    run = partial(
        stages.tune_instructions, given, start=start, questions=tiny.questions(), state=tmp_path / "state",
        card=tmp_path / "tuned" / "card.json", inputs=[start, rows],
    )  # fmt: skip
    rows.write_text("as they were")
    run()
    run()
    rows.write_text("others")
    assert "begins anew" not in capsys.readouterr().err
    run()
    assert "had other settings or inputs; this one begins anew" in capsys.readouterr().err


def test_a_question_id_on_two_rows_is_refused(start: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="question id q0 stands on two rows"):
        join(start, tmp_path, questions=[*tiny.questions(), tiny.question(0, docs=[0], gold=[0])])


def test_the_store_of_another_compressor_is_refused(
    start: Path, make_model: Callable[..., ClaraModel], tmp_path: Path
) -> None:
    other = tiny.save(make_model(form="plain"), tmp_path / "other")
    manifest = tiny.store(checkpoint.load(other, dtype="float32"), tmp_path)
    with pytest.raises(CheckpointError, match="was built by a compressor with hash"):
        stages.train_joint(
            TrainJoint.model_validate(settings("train_joint")),
            start=start, store=manifest, questions=tiny.questions(), state=tmp_path,
            card=tmp_path / "card.json", inputs=[],
        )  # fmt: skip


def test_more_compression_than_tokens_is_refused(model: ClaraModel, tmp_path: Path) -> None:
    given = Pretrain.model_validate(settings("pretrain"))
    with pytest.raises(ConfigError, match=r"ratio 512 exceeds memory\.document_max_tokens = 256"):
        stages.pretrain(
            given, ratio=512, pairs=tiny.pairs(), backbone=model.backbone.card.path, state=tmp_path,
            card=tmp_path / "card.json", inputs=[],
        )  # fmt: skip


@pytest.mark.parametrize(("ratio", "memories"), [(4, 64), (16, 16), (100, 2), (256, 1)])
def test_the_number_of_memories_is_tokens_by_ratio_rounded_down(
    ratio: int, memories: int, model: ClaraModel, tmp_path: Path
) -> None:
    card = tmp_path / "card.json"
    stages.pretrain(
        Pretrain.model_validate(settings("pretrain")), ratio=ratio, pairs=tiny.pairs(),
        backbone=model.backbone.card.path, state=tmp_path / "state", card=card, inputs=[],
    )  # fmt: skip
    assert checkpoint.read_card(card).shape.num_memory == memories
    assert json.loads((tmp_path / "settings.json").read_text())["memory"]["document_max_tokens"] == 256
