"""Shards: equal parts, and the same bytes for any number of them."""

import json
from pathlib import Path
from typing import Any

import pytest

from clara.errors import ConfigError
from clara.records import Pair
from clara.row_files import read_rows, write_rows
from clara.synthesis import published
from clara.synthesis.engine import Request, failure
from clara.synthesis.engine_scripted import ScriptedEngine
from clara.synthesis.leaks import Leaks
from clara.synthesis.rows import Rejected
from clara.synthesis.shards import gather, part
from clara.synthesis.synthesize import synthesize
from tests.synthesis.test_synthesize import SETTINGS, Synthesis, corpus
from workflow_scripts import export_pairs


@pytest.mark.parametrize("shards", [1, 2, 3, 4, 12])
def test_the_parts_make_the_whole_in_order_and_differ_by_one_at_most(shards: int) -> None:
    parts = [part(range(10), shard, shards) for shard in range(1, shards + 1)]
    assert [item for found in parts for item in found] == list(range(10))
    sizes = {len(found) for found in parts}
    assert max(sizes) - min(sizes) <= 1


def answer(request: Request) -> Any:
    """The model fails for one town and asks badly of another."""
    text = request.messages[-1].content
    if "Town2" in text:
        return failure("prompt too long")
    if "Rewritten" in text or "in your own words" in text:
        return "No."
    return "In what year did dragons come?" if "Town1" in text else "In what year was the bridge built?"


def run(folder: Path, shards: int, *, leaks: Leaks | None = None, **changes: Any) -> Path:
    settings = Synthesis.model_validate(
        {**SETTINGS, "num_passages": 5, "num_passages_for": {"paraphrase": 2}, "shards": shards, **changes}
    )
    write_rows(folder / "passages.parquet", corpus(7))
    parts = [folder / f"{shard}-of-{shards}" for shard in range(1, shards + 1)]
    for shard, place in enumerate(parts, 1):
        synthesize(
            settings, seed=1, shard=shard, passages=folder / "passages.parquet", card=folder / "card.json",
            state=place / "state", pairs=place / "pairs.parquet", rejected=place / "rejected.parquet",
            summary=place / "report.json", engine=ScriptedEngine(answer, capacity=shards),
        )  # fmt: skip
    whole = folder / "whole"
    gather(
        shard_pairs=[place / "pairs.parquet" for place in parts],
        shard_rejected=[place / "rejected.parquet" for place in parts],
        shard_reports=[place / "report.json" for place in parts],
        leaks=leaks,
        pairs=whole / "pairs.parquet",
        rejected=whole / "rejected.parquet",
        summary=whole / "report.json",
    )
    return whole


def test_any_number_of_shards_gives_the_same_bytes(tmp_path: Path) -> None:
    # With seven shards some have no passage at all, and many have no rejected row.
    folders = [run(tmp_path / str(shards), shards, max_failed_share=1.0) for shards in (1, 2, 3, 7)]
    for name in ("pairs.parquet", "rejected.parquet"):
        first, *others = [(folder / name).read_bytes() for folder in folders]
        assert all(other == first for other in others)
    assert len(read_rows(Pair, folders[0] / "pairs.parquet")) > 5
    reports = [json.loads((folder / "report.json").read_text()) for folder in folders]
    varying = {"seconds", "requests_per_second", "tokens_per_second", "seconds_per_passage", "shards", "forecast"}
    first, *rest = [{key: value for key, value in report.items() if key not in varying} for report in reports]
    assert all(report == first for report in rest)
    assert first["passages"] == 5
    assert first["failed_passages"] == 1
    assert first["endings"] == {
        "paraphrase: quarantined": 1, "paraphrase: rounds_exhausted": 1, "simple: covered": 5,
    }  # fmt: skip
    assert list(first["quarantine"].values()) == ["prompt too long"]


def test_a_shard_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    settings = Synthesis.model_validate({**SETTINGS, "shards": 2})
    place = tmp_path / "x"
    with pytest.raises(ConfigError, match=r"--shard 3 must lie between 1 and synthesis\.shards = 2"):
        synthesize(settings, seed=1, shard=3, passages=place, card=place, state=place, pairs=place, rejected=place,
                   summary=place)  # fmt: skip


def test_published_rows_are_shared_out_too(tmp_path: Path) -> None:
    rows = [
        {"data_type": "qa", "question": [f"Who is {n}?"], "answers": ["Ida"], "docs": [f"T\n{n}."]} for n in range(5)
    ]
    (tmp_path / "ready.jsonl").write_text("\n".join(map(json.dumps, rows)))
    one, three = (run(tmp_path / str(shards), shards, published=str(tmp_path / "ready.jsonl")) for shards in (1, 3))
    assert (one / "pairs.parquet").read_bytes() == (three / "pairs.parquet").read_bytes()
    report = json.loads((three / "report.json").read_text())
    assert (report["accepted"], report["shards"], report["passages"]) == (5, 3, 5)


@pytest.mark.parametrize("shards", [1, 2, 3, 4, 9])
def test_a_document_is_counted_once_wherever_its_rows_stand(
    tmp_path: Path, shards: int, capsys: pytest.CaptureFixture[str]
) -> None:
    many = [
        {"data_type": "qa", "question": [f"Who {n}?", f"When {n}?", f"Where {n}?"], "answers": ["Ida"] * 3,
         "docs": [f"T\n{n}."]}
        for n in range(3)
    ]  # fmt: skip
    again = {**many[0], "data_type": "complex"}
    (tmp_path / "ready.jsonl").write_text("\n".join(map(json.dumps, [*many, again, many[1]])))
    whole = run(tmp_path / "r", shards, published=str(tmp_path / "ready.jsonl"))
    rows = read_rows(Pair, whole / "pairs.parquet")
    assert rows == list(published.Pairs(tmp_path / "ready.jsonl"))
    report = json.loads((whole / "report.json").read_text())
    assert (report["passages"], report["accepted"], report["rows_repeated"]) == (3, 12, 3)
    assert "left out 3 rows of" in capsys.readouterr().err
    parts = [
        read_rows(Pair, tmp_path / "r" / f"{shard}-of-{shards}" / "pairs.parquet") for shard in range(1, shards + 1)
    ]
    # A run of a document's rows stays together: three at first, and three more of the first document.
    assert [len(part) % 3 for part in parts] == [0] * shards


def test_both_exports_hold_all_rows_and_can_be_read_again(tmp_path: Path) -> None:
    whole = run(tmp_path, 1)
    for name in ("pairs.jsonl", "released.jsonl"):
        flags = ["--settings", "{}", "--pairs", str(whole / "pairs.parquet"), "--export", str(whole / "exports" / name)]
        export_pairs.main(flags)
    rows = read_rows(Pair, whole / "pairs.parquet")
    assert list(published.Pairs(whole / "exports" / "pairs.jsonl")) == rows
    released = list(published.Pairs(whole / "exports" / "released.jsonl"))
    assert [(row.document, row.question, row.answer) for row in released] == [
        (row.document, row.question, row.answer) for row in rows
    ]
    published.write(tmp_path / "again.jsonl", released)
    assert (tmp_path / "again.jsonl").read_bytes() == (whole / "exports" / "released.jsonl").read_bytes()


def test_what_leaks_is_left_out_and_kept_among_the_rejected(tmp_path: Path) -> None:
    before = read_rows(Pair, run(tmp_path / "all", 1) / "pairs.parquet")
    leaked = before[0].question
    whole = run(tmp_path / "some", 1, leaks=Leaks([leaked.upper()]))
    rows = read_rows(Pair, whole / "pairs.parquet")
    assert leaked not in {row.question for row in rows}
    out = [row for row in read_rows(Rejected, whole / "rejected.parquet") if row.reason == "leak"]
    assert leaked in {row.question for row in out}
    assert len(rows) + len(out) == len(before)
    report = json.loads((whole / "report.json").read_text())
    assert report["rejections"]["simple: leak"] == len(out)


def test_a_kind_is_asked_of_as_many_passages_whatever_the_shards(tmp_path: Path) -> None:
    whole = run(tmp_path, 3, max_failed_share=1.0)
    tried = {row.document for row in read_rows(Rejected, whole / "rejected.parquet") if row.kind == "paraphrase"}
    failed = json.loads((whole / "report.json").read_text())["quarantine"]
    assert len(tried) + len(failed) == 2
