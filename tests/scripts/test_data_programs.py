"""What the programs of synthesis and of the data's description record as their inputs."""

import json
from pathlib import Path

import pytest

from clara.errors import DataError
from clara.files import read_json, sha256_file, write_json
from clara.row_files import write_rows
from tests import tiny
from tests.synthesis.test_synthesize import SETTINGS
from workflow_scripts import measure_data, synthesize


def test_rows_that_are_taken_over_are_an_input_of_their_record(tmp_path: Path) -> None:
    write_rows(tmp_path / "passages.parquet", tiny.passages())
    write_json(tmp_path / "card.json", {})
    row = {"data_type": "qa", "question": ["Who?"], "answers": ["Ida"], "docs": ["Town\nIda."]}
    ready = tmp_path / "ready.jsonl"
    ready.write_text(json.dumps(row))
    aside = {name: SETTINGS[name] for name in ("shards", "max_failed_share", "exclude_leaks", "exports")}
    deciding = {name: value for name, value in SETTINGS.items() if name not in aside}
    settings = {"seed": 1, "cpu_threads": 1, "synthesis": {**deciding, "published": str(ready)}}
    synthesize.main(
        [
            "--settings", json.dumps(settings), "--aside", json.dumps({"synthesis": aside}), "--shard", "1",
            "--passages", str(tmp_path / "passages.parquet"), "--backbone", str(tmp_path / "card.json"),
            "--state", str(tmp_path / "state"),
            *(part for name in ("pairs", "rejected") for part in (f"--{name}", str(tmp_path / f"{name}.parquet"))),
            "--report", str(tmp_path / "report.json"),
        ]
    )  # fmt: skip
    inputs = read_json(tmp_path / "provenance" / "pairs.json")["inputs"]
    assert inputs[str(ready)] == sha256_file(ready)
    assert len(inputs) == 3


def test_the_datas_description_records_pools_and_tokenizer_and_refuses_pools_that_changed(tmp_path: Path) -> None:
    card = tiny.prepare("llama", tmp_path / "backbone").path
    pools = tmp_path / "nq.train.oracle.jsonl"
    write_rows(pools, tiny.questions())
    write_rows(tmp_path / "pairs.parquet", tiny.pairs())
    write_rows(tmp_path / "documents.parquet", tiny.passages())
    write_json(tmp_path / "review.json", {})
    write_json(tmp_path / "corpus.json", {})
    given = [
        "--settings", json.dumps({"ratios": [8], "document_max_tokens": 16}), "--candidates", str(pools),
        "--pairs", str(tmp_path / "pairs.parquet"), "--documents", str(tmp_path / "documents.parquet"),
        "--review", str(tmp_path / "review.json"), "--corpus-report", str(tmp_path / "corpus.json"),
        "--backbone", str(card), "--data", str(tmp_path / "data.json"),
    ]  # fmt: skip
    measure_data.main(given)
    inputs = read_json(tmp_path / "provenance" / "data.json")["inputs"]
    assert inputs[str(pools)] == sha256_file(pools)
    assert str(card) in inputs
    assert len(inputs) == 6
    write_json(
        tmp_path / "provenance" / "nq.train.oracle.json",
        {"command": [], "inputs": {}, "outputs": {pools.name: "another"}},
    )
    with pytest.raises(DataError, match=r"nq\.train\.oracle\.jsonl"):
        measure_data.main(given)
