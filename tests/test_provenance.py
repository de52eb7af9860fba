import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from clara.cli import app
from clara.errors import DataError
from clara.files import sha256_file, write_json
from clara.provenance import chain, record_of


def made(path: Path, *, command: list[str], inputs: list[Path]) -> None:
    """A result with its record, as programs leave them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"content of {path.name}")
    content = {"command": command, "inputs": {str(file): sha256_file(file) for file in inputs}, "seed": 7}
    write_json(path.parent / "provenance" / f"{path.stem}.json", content)


@pytest.fixture
def metrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Dump, passages, store and predictions of them all, and metrics: relative to the working folder."""
    monkeypatch.chdir(tmp_path)
    dump, passages, metrics = Path("corpus/dump"), Path("corpus/passages.parquet"), Path("metrics/system.json")
    predictions, store = Path("predictions/system.jsonl"), Path("store/manifest.json")
    Path("questions.jsonl").write_text("from outside")
    made(dump, command=["fetch_corpus.py", "--dump", str(dump)], inputs=[])
    made(passages, command=["split.py", "--passages", str(passages), "--report", "corpus/report.json"], inputs=[dump])
    Path("corpus/report.json").write_text("{}")
    store.parent.mkdir()
    store.write_text("{}")
    record = {"command": ["compress.py"], "inputs": {str(passages): sha256_file(passages)}}
    write_json(store.with_name("environment.json"), record)
    made(predictions, command=["predict.py"], inputs=[store, passages, Path("questions.jsonl")])
    made(metrics, command=["score.py"], inputs=[predictions])
    return metrics


def states(file: Path) -> dict[str, str]:
    return {link.path: link.state for link in chain(file) if not link.repeated}


def test_a_result_is_followed_back_to_the_raw_corpus(metrics: Path) -> None:
    links = chain(metrics)
    assert [(link.path, link.depth) for link in links] == [
        ("metrics/system.json", 0),
        ("predictions/system.jsonl", 1),
        ("store/manifest.json", 2),
        ("corpus/passages.parquet", 3),
        ("corpus/dump", 4),
        ("corpus/passages.parquet", 2),
        ("questions.jsonl", 2),
    ]
    assert {link.state for link in links[1:]} == {"as recorded"}
    assert [link.path for link in links if link.repeated] == ["corpus/passages.parquet"]


def test_a_changed_and_a_missing_input_are_told(metrics: Path) -> None:
    Path("corpus/dump").write_text("another")
    Path("store/manifest.json").unlink()
    found = states(metrics)
    assert found["corpus/dump"] == "changed"
    assert found["store/manifest.json"] == "missing"
    assert found["predictions/system.jsonl"] == "as recorded"


def test_each_of_several_results_finds_the_record_of_its_program(metrics: Path) -> None:
    record = record_of(Path("corpus/report.json"))
    assert record is not None
    assert record["command"][0] == "split.py"


def test_a_file_is_not_taken_for_a_result_of_its_reader(metrics: Path) -> None:
    card = Path("metrics/card.json")
    card.write_text("{}")
    made(Path("metrics/use.json"), command=["measure.py", "--checkpoint", str(card)], inputs=[card])
    assert record_of(card) is None


@pytest.mark.parametrize("name", ["nothing.json", "questions.jsonl"])
def test_what_has_no_record_is_refused(metrics: Path, name: str) -> None:
    with pytest.raises(DataError, match="name a result"):
        chain(Path(name))


def test_a_record_that_is_none_is_refused(metrics: Path) -> None:
    write_json(Path("metrics/provenance/system.json"), ["no record"])
    with pytest.raises(DataError, match="is not a record of a result"):
        chain(metrics)


def test_the_command_prints_the_chain_and_fails_where_a_hash_differs(metrics: Path) -> None:
    good = CliRunner().invoke(app, ["provenance", str(metrics)])
    assert good.exit_code == 0
    assert "    store/manifest.json  [as recorded] by compress.py" in good.stdout
    assert "questions.jsonl  [as recorded] (no record: not made by the pipeline)" in good.stdout
    Path("corpus/dump").write_text("another")
    bad = CliRunner().invoke(app, ["provenance", str(metrics), "--json"])
    assert bad.exit_code == 1
    assert [link["path"] for link in json.loads(bad.stdout) if link["state"] == "changed"] == ["corpus/dump"]
    assert "1 of 6 inputs are not what the results were made from" in bad.stderr
