"""The stage as a whole: files, report, quarantine, ready data, choice of passages."""

import json
from pathlib import Path
from typing import Any

import pytest

from clara.config.synthesis import Synthesis
from clara.errors import ConfigError, DataError, ResourceError
from clara.records import Pair, Passage
from clara.row_files import read_rows, write_rows
from clara.synthesis.engine import Request, failure
from clara.synthesis.engine_scripted import ScriptedEngine
from clara.synthesis.identity import model_identity
from clara.synthesis.passages import is_prose, spread
from clara.synthesis.rows import Rejected
from clara.synthesis.shards import gather
from clara.synthesis.synthesize import _engine, _folder, synthesize

SETTINGS: dict[str, Any] = {
    "published": None, "engine": "auto", "model": None, "dtype": "float32", "base_url": None, "tensor_parallel": 1,
    "num_passages": 3, "shards": 1, "exclude_uncovered": False, "exclude_leaks": False, "exports": [],
    "num_passages_for": {},
    "kinds": ["simple", "paraphrase"], "question_sources": ["facts", "templates"], "max_rounds": 1,
    "questions_per_round": 3, "temperature": 0.7, "top_p": 0.95, "max_new_tokens": 64, "model_validation": False,
    "max_failed_share": 0.5,
}  # fmt: skip
FILLER = "and the people of the valley have kept the old road open for carts and riders ever since that time " * 2


def corpus(number: int) -> list[Passage]:
    texts = [
        f"The bridge of Town{i} was built in {1200 + i} by Ida Thorne. It is made of grey stone, {FILLER}."
        for i in range(number)
    ]
    return [Passage(id=f"{i:016x}", title=f"Town{i}", text=text) for i, text in enumerate(texts)]


def run(
    folder: Path, engine: ScriptedEngine | None, **changes: Any
) -> tuple[list[Pair], list[Rejected], dict[str, Any]]:
    settings = Synthesis.model_validate({**SETTINGS, **changes})
    write_rows(folder / "passages.parquet", corpus(6))
    names = {name: folder / name for name in ("pairs.parquet", "rejected.parquet", "report.json")}
    try:
        synthesize(
            settings, seed=1, shard=1, passages=folder / "passages.parquet", card=folder / "card.json",
            state=folder / "state", pairs=names["pairs.parquet"], rejected=names["rejected.parquet"],
            summary=names["report.json"], engine=engine,
        )  # fmt: skip
    finally:
        whole = {name: folder / "whole" / name for name in names}
        gather(
            shard_pairs=[names["pairs.parquet"]], shard_rejected=[names["rejected.parquet"]],
            shard_reports=[names["report.json"]], leaks=None, pairs=whole["pairs.parquet"],
            rejected=whole["rejected.parquet"], summary=whole["report.json"],
        )  # fmt: skip
        report = json.loads(whole["report.json"].read_text())
    pairs = read_rows(Pair, whole["pairs.parquet"])
    return pairs, read_rows(Rejected, whole["rejected.parquet"]), report


def test_a_kind_can_be_asked_of_fewer_passages(tmp_path: Path) -> None:
    pairs, rejected, _ = run(tmp_path, ScriptedEngine(lambda request: "No."), num_passages_for={"paraphrase": 1})
    assert len({row.document_id for row in rejected if row.kind == "paraphrase"}) == 1
    assert len({row.document_id for row in pairs if row.kind == "simple"}) == 3


def test_every_row_is_accepted_or_rejected_and_counted(tmp_path: Path) -> None:
    pairs, rejected, report = run(tmp_path, ScriptedEngine(lambda request: "In what year did dragons come?"))
    assert {pair.document.split("\n")[0] for pair in pairs} == {"Town0", "Town2", "Town4"}
    assert report["accepted"] == len(pairs)
    assert report["rejected"] == len(rejected) == sum(report["rejections"].values())
    assert report["rejections"]["paraphrase: paraphrase_length"] == 3
    assert report["by_kind"] == {"simple": len(pairs)}
    assert sum(report["by_round"].values()) == len(pairs)
    assert report["yield_per_passage"] == pytest.approx(len(pairs) / 3, abs=1e-3)
    assert report["engine"] == "scripted"
    assert report["failed_passages"] == 0


def test_passages_that_are_not_covered_can_be_left_out(tmp_path: Path) -> None:
    kept, _, _ = run(tmp_path / "a", ScriptedEngine(lambda request: "No."), questions_per_round=1)
    assert kept
    pairs, rejected, report = run(
        tmp_path / "b", ScriptedEngine(lambda request: "No."), questions_per_round=1, exclude_uncovered=True
    )
    assert pairs == []
    assert [row.question for row in rejected if row.reason == "not_covered"] == [row.question for row in kept]
    assert report["endings"]["simple: rounds_exhausted"] == report["passages_without_a_pair"] == 3
    covered, _, _ = run(tmp_path / "c", ScriptedEngine(lambda request: "No."), exclude_uncovered=True)
    assert {row.document for row in covered} == {row.document for row in kept}


def test_the_same_run_gives_the_same_bytes_without_a_request(tmp_path: Path) -> None:
    run(tmp_path, ScriptedEngine(lambda request: "In what year?"))
    before = (tmp_path / "pairs.parquet").read_bytes()
    again = ScriptedEngine(lambda request: "something else")
    _, _, report = run(tmp_path, again)
    assert (tmp_path / "pairs.parquet").read_bytes() == before
    assert again.requests == []
    assert report["requests_from_cache"] == 3


def fails_for(*titles: str) -> ScriptedEngine:
    def answer(request: Request) -> Any:
        text = request.messages[-1].content
        return failure("context overflow") if any(title in text for title in titles) else "Who?"

    return ScriptedEngine(answer)


def test_a_few_failed_passages_are_listed_with_their_reason(tmp_path: Path) -> None:
    _, _, report = run(tmp_path, fails_for("Town2"))
    assert report["failed_passages"] == 1
    assert report["quarantine"] == {"0000000000000002 Town2 (paraphrase)": "context overflow"}


def test_too_many_failed_passages_fail_the_step_after_its_files_are_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(
        DataError,
        match=r"2 of 3 passages failed, more than synthesis\.max_failed_share = 0\.5 allows; .*quarantine.json",
    ):
        run(tmp_path, fails_for("Town2", "Town4"))
    assert "synthesis: quarantined 2: context overflow\n" in capsys.readouterr().err
    assert len(json.loads((tmp_path / "state" / "quarantine.json").read_text())) == 2
    assert json.loads((tmp_path / "report.json").read_text())["failed_passages"] == 2
    assert (tmp_path / "pairs.parquet").exists()


def test_half_a_table_of_a_killed_run_is_removed(tmp_path: Path) -> None:
    for name in (".pairs.parquet.7.part", ".rejected.parquet.7.part"):
        (tmp_path / name).write_text("half")
    run(tmp_path, ScriptedEngine(lambda request: "No."))
    assert list(tmp_path.glob(".*")) == []


def test_templates_alone_start_no_engine(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "card.json").write_text('{"path": "model"}')
    pairs, _, report = run(tmp_path, None, kinds=["simple"], question_sources=["templates"])
    assert {pair.source for pair in pairs} == {"templates"}
    assert report["requests"] == 0


def test_published_data_replace_synthesis_by_one_setting(tmp_path: Path) -> None:
    row = {"data_type": "qa", "question": ["Who?"], "answers": ["Ida"], "docs": ["Town\nIda."]}
    (tmp_path / "ready.jsonl").write_text(json.dumps(row))
    pairs, rejected, report = run(tmp_path, None, published=str(tmp_path / "ready.jsonl"))
    assert [(pair.question, pair.answer) for pair in pairs] == [("Who?", "Ida")]
    assert rejected == []
    assert report["accepted"] == report["passages"] == 1


def test_what_published_data_cost_is_told_without_writing_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Synthesis.model_validate({**SETTINGS, "published": str(tmp_path / "ready.jsonl")})
    synthesize(settings, seed=1, shard=1, passages=tmp_path, card=tmp_path, state=tmp_path, pairs=tmp_path / "pairs",
               rejected=tmp_path, summary=tmp_path, estimate=True)  # fmt: skip
    assert "is taken over: no requests" in capsys.readouterr().out
    assert not (tmp_path / "pairs").exists()


def test_passages_are_spread_over_the_corpus_in_order() -> None:
    found = corpus(10)
    assert [passage.title for passage in spread(found, 4)] == ["Town0", "Town2", "Town5", "Town7"]
    assert spread(found, None) == found == spread(found, 99)


def test_lists_and_scraps_are_no_prose() -> None:
    prose = corpus(1)[0]
    assert is_prose(prose)
    assert not is_prose(prose.model_copy(update={"text": "Too short to be of use."}))
    assert not is_prose(prose.model_copy(update={"text": "Ida Thorne Maren Cole Oslo Bergen is. " * 10}))
    assert not is_prose(prose.model_copy(update={"text": "a list of words without an end " * 10}))
    with pytest.raises(DataError, match="none of the 1 passages is prose of at least 40 words"):
        spread([prose.model_copy(update={"text": "short"})], 3)


def test_a_model_that_is_no_folder_is_refused_before_anything_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "file").write_text("")
    for model, kind, message in (
        (
            "nobody/none",
            ResourceError,
            r"Hub model nobody/none could not be fetched .* set synthesis\.model to a local",
        ),
        (str(tmp_path / "file"), ConfigError, r"synthesis\.model = .*file is no model folder"),
        ("./nowhere", ConfigError, r"synthesis\.model = \./nowhere is no model folder"),
    ):
        with pytest.raises(kind, match=message):
            _folder(model, tmp_path / "card.json")


def test_replies_of_other_threads_are_asked_for_anew_and_those_of_one_are_the_ones_kept_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Synthesis.model_validate(SETTINGS | {"model": str(tmp_path)})
    with_one = model_identity(tmp_path, "float32", state=tmp_path / "other", known={})

    def identity(threads: int | None, engine: str = "transformers") -> str:
        chosen = settings.model_copy(update={"engine": engine})
        return _engine(chosen, "float32", tmp_path / "card.json", tmp_path / "state", threads).model

    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert identity(1) == identity(None) == with_one
    assert len({identity(1), identity(2), identity(3)}) == 3
    assert identity(2, "openai") == identity(1, "openai")
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert identity(2) == with_one
