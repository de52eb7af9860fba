"""The programs that answer and rank, called as a rule calls them, and what all programs with a model refuse."""

import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from clara import program
from clara.errors import ConfigError
from clara.evaluation import predict
from clara.evaluation.answering import Task
from clara.model.backbone import LoadedBackbone
from clara.records import Prediction, Question
from clara.row_files import read_rows, write_rows
from tests import tiny
from tests.scripts.world import World, settings
from workflow_scripts import (
    predict_baseline,
    predict_compressed_text,
    predict_given,
    predict_given_compressed_text,
    predict_given_text,
    predict_released,
    prepare_backbone,
    rank_neural,
)


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
        settings("predict_compressed_text", {"method": "hard_words"}), method="hard_words", ratio=8,
        backbone=world.backbone, candidates=world.candidates["test.oracle"], predictions=out,
    )  # fmt: skip
    predict_compressed_text.main(flags)
    rows = read_rows(Prediction, out)
    assert {row.system for row in rows} == {"hard_words_cr8"}
    short = list(read)
    read.clear()
    whole = world.baseline("text_rag")
    assert [row.selected for row in rows] == [row.selected for row in whole]
    assert max(short) < min(read)


def test_given_documents_are_cut_as_those_that_bm25_finds(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []
    answer = predict.with_backbone

    def look(system: str, backbone: LoadedBackbone, tasks: list[Task], **more: Any) -> list[Prediction]:
        shown[:] = [task.question.docs[place] for task in tasks for place in task.selected]
        return answer(system, backbone, tasks, **more)

    monkeypatch.setattr(predict, "with_backbone", look)
    gold = "Zebras graze quietly."
    docs = ["By the river Ems lies Aro.", "Aro lies by a river.", "It is a river that Aro has.", gold]
    asked = Question(
        id="q", question="Which river is at Aro?", golden_answers=["x"], docs=docs, pos_index=[3], bm25=[3, 2, 1, 0]
    )

    def read(answering: ModuleType, setting: str, **how: object) -> tuple[str, dict[int, str]]:
        """The system's name, and the place of each document that it reads → the text that is shown."""
        pool, out = tmp_path / f"nq.test.{setting}.jsonl", tmp_path / "out.jsonl"
        write_rows(pool, [asked])
        given = settings(answering.__name__.rpartition(".")[2], {"method": "hard_words"})
        answering.main(world.flags(given, **how, backbone=world.backbone, candidates=pool, predictions=out))
        (row,) = read_rows(Prediction, out)
        return row.system, dict(zip(row.selected, shown, strict=True))

    cut = {"method": "hard_words", "ratio": 2}
    _, whole = read(predict_given_text, "oracle")
    system, short = read(predict_given_compressed_text, "oracle", **cut)
    _, found = read(predict_compressed_text, "oracle", **cut)
    assert system == "given-hard_words_cr2"
    assert whole == {0: docs[0], 3: gold}
    assert (short.keys(), found.keys()) == ({0, 3}, {0, 1})  # BM25 ranks the gold document last
    assert "" != short[3] != gold
    assert set(short[3].split()) < set(gold.split())
    assert short[0] == found[0] != docs[0]
    assert read(predict_given_compressed_text, "normal", **cut)[1] == found


def test_a_released_checkpoint_is_a_system(world: World, tmp_path: Path) -> None:
    from tests.model.released_writer import write

    source = write(tmp_path / "theirs").source
    out = tmp_path / "released_theirs.jsonl"
    flags = world.flags(
        settings(
            "predict_released", {"released": "theirs"},
            evaluation={"released": {"theirs": {"source": str(source), "base": None}}},
        ),
        name="theirs", documents=world.documents, candidates=world.candidates["test.oracle"],
        state=tmp_path / "state", predictions=out,
    )  # fmt: skip
    predict_released.main(flags)
    rows = read_rows(Prediction, out)
    assert {row.system for row in rows} == {"released_theirs"}
    assert all(row.ranking is not None and row.prediction is not None for row in rows)


def test_a_cross_encoder_ranks_without_answering(world: World, tmp_path: Path) -> None:
    from transformers import BertForSequenceClassification

    from tests.evaluation.test_other_models import write

    source = write(tmp_path / "cross", BertForSequenceClassification, num_labels=1)
    out = tmp_path / "cross_encoder.jsonl"
    named = {"evaluation": {"cross_encoder": {"source": str(source), "max_tokens": 12}}}
    given = settings("rank_neural", {"ranker": "cross_encoder"}, **named)
    candidates = world.candidates["test.oracle"]
    rank_neural.main(world.flags(given, ranker="cross_encoder", candidates=candidates, predictions=out))
    for row in read_rows(Prediction, out):
        assert (row.prediction, row.selected) == (None, [])
        assert row.scores is not None
        assert row.ranking == sorted(range(len(row.scores)), key=lambda place: -(row.scores or [])[place])


def test_settings_of_another_job_of_the_rule_are_refused(world: World) -> None:
    candidates, out = world.candidates["test.oracle"], world.folder / "never.jsonl"

    def flags(rule: str, of: dict[str, str], **more: object) -> list[str]:
        return world.flags(settings(rule, of), candidates=candidates, predictions=out, **more)

    with pytest.raises(ConfigError, match=r"--ranker cross_encoder needs the settings of evaluation\.cross_encoder"):
        rank_neural.main(flags("rank_neural", {"ranker": "dense"}, ranker="cross_encoder"))
    alone = flags("predict_baseline", {"baseline": "no_retrieval"}, baseline="text_rag", backbone=world.backbone)
    with pytest.raises(ConfigError, match="top_k is None in --settings: those of another baseline than text_rag"):
        predict_baseline.main(alone)
    words: dict[str, object] = {"method": "llmlingua2", "ratio": 8, "backbone": world.backbone}
    cut = flags("predict_compressed_text", {"method": "hard_words"}, **words)
    with pytest.raises(ConfigError, match=r"--method llmlingua2 needs the settings of evaluation\.llmlingua2"):
        predict_compressed_text.main(cut)


Call = Callable[[World, Path], object]


REFUSALS: list[tuple[str, Call]] = [
    ("does not exist", lambda world, tmp: world.predict(candidates=tmp / "nq.test.oracle.jsonl")),
    ("holds no rows", lambda world, tmp: world.predict(candidates=empty(tmp))),
    (r"must be named BENCHMARK\.test\.oracle\.jsonl", lambda world, tmp: world.predict(candidates=tmp / "x.jsonl")),
    ("is no checkpoint card", lambda world, tmp: world.predict(checkpoint=world.backbone)),
    ("is no checkpoint card", lambda world, tmp: world.measure(checkpoint=world.manifest)),
    (
        "a checkpoint without a query reasoner cannot select",
        lambda world, tmp: world.predict(checkpoint=world.instruction),
    ),
    ("was built by a compressor with hash", lambda world, tmp: world.join(start=world.pretraining)),
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

    with pytest.raises(SystemExit) as raised:
        program.run(lambda: call(world, tmp_path) and None)
    last = capsys.readouterr().err.splitlines()[-1]
    assert raised.value.code == 2
    assert last.startswith("error: ")
    assert re.search(message, last)
