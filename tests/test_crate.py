"""A finished run as an RO-Crate: the rules of the specification 1.1 hold, and it says who made what of what."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from clara.cli import app
from clara.config.rules import BuildReport, Score
from clara.crate import FILE, write_crate
from clara.environment import record, write_provenance
from clara.errors import DataError
from clara.files import sha256_file

RUN = Path("results/demo")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run of five results: passages, a checkpoint, predictions, metrics and the page; questions lie outside."""
    monkeypatch.chdir(tmp_path)

    def made(path: str, program: str, inputs: list[Path]) -> Path:
        file = RUN / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"content of {path}")
        monkeypatch.setattr("sys.argv", [f"workflow_scripts/{program}", "--settings", "{}", "--output", str(file)])
        record(file, None, inputs=inputs)
        return file

    outside = Path("data/own questions.jsonl")
    outside.parent.mkdir()
    outside.write_text("{}")
    passages = made("corpus/passages.parquet", "split_passages.py", [])
    card = RUN / "joint" / "cr4-base" / "card.json"
    card.parent.mkdir(parents=True)
    card.write_text("{}")
    (card.parent / "adapters.safetensors").write_bytes(b"weights")
    write_provenance(card.parent, {}, seed=1, inputs=[passages], outputs=[card])
    predictions = made("evaluation/predictions/a b.jsonl", "predict.py", [card, outside])
    metrics = made("evaluation/metrics/a b.json", "score.py", [predictions])
    made("report/index.html", "build_report.py", [metrics])
    return RUN


def graph(run: Path) -> dict[str, dict[str, Any]]:
    content = json.loads((run / FILE).read_text())
    assert content["@context"][0] == "https://w3id.org/ro/crate/1.1/context"
    entities = content["@graph"]
    by_id = {entity["@id"]: entity for entity in entities}
    assert len(by_id) == len(entities), "an @id stands for one entity"
    return by_id


def references(value: Any) -> list[str]:
    """All @ids that a property's value points to."""
    if isinstance(value, dict):
        assert set(value) == {"@id"}, "the graph is flat"
        return [value["@id"]]
    return [name for item in value for name in references(item)] if isinstance(value, list) else []


def test_the_crate_keeps_the_rules_of_the_specification(run: Path) -> None:
    write_crate(run)
    entities = graph(run)
    descriptor, root = entities[FILE], entities["./"]
    assert descriptor["@type"] == "CreativeWork"
    assert descriptor["about"] == {"@id": "./"}
    assert descriptor["conformsTo"] == {"@id": "https://w3id.org/ro/crate/1.1"}
    assert root["@type"] == "Dataset"
    assert {"name", "description", "datePublished", "license"} <= root.keys()
    there = {path for path in run.rglob("*") if path.is_file() and path.name != FILE}
    parts = {part["@id"] for part in root["hasPart"]}
    assert len(parts) == len(there)
    for name in parts:
        path = run / name.replace("%20", " ")
        assert entities[name]["@type"] == "File"
        assert entities[name]["contentSize"] == str(path.stat().st_size)
        assert entities[name]["sha256"] == sha256_file(path)
    for entity in entities.values():
        assert entity["@type"]
        named = [name for key, value in entity.items() if key != "@id" for name in references(value)]
        assert [name for name in named if name not in entities and not name.startswith("https://")] == []


def test_the_crate_says_who_made_what_of_what(run: Path) -> None:
    write_crate(run)
    entities = graph(run)
    actions = {
        entities[entity["instrument"]["@id"]]["name"]: entity
        for entity in entities.values()
        if entity["@type"] == "CreateAction"
    }
    assert {"predict.py", "score.py", "build_report.py"} <= actions.keys()
    predict = actions["predict.py"]
    assert {part["@id"] for part in predict["object"]} == {
        "joint/cr4-base/card.json",
        "#outside/data/own%20questions.jsonl",
    }
    assert {"@id": "evaluation/predictions/a%20b.jsonl"} in predict["result"]
    assert {"@id": "evaluation/metrics/a%20b.json"} not in predict["result"]
    assert predict["startTime"] <= predict["endTime"]
    training = next(
        entity for entity in entities.values() if entity["@id"].endswith("environment.json") and "object" in entity
    )
    assert {"@id": "joint/cr4-base/adapters.safetensors"} in training["result"]


def test_the_command_writes_it_and_a_second_one_is_the_same(run: Path) -> None:
    done = CliRunner().invoke(app, ["crate", str(run)])
    assert done.exit_code == 0, done.output
    first = (run / FILE).read_bytes()
    write_crate(run)
    assert (run / FILE).read_bytes() == first


def test_a_run_that_is_not_finished_or_not_of_one_piece_is_refused(run: Path) -> None:
    (run / "evaluation/metrics/a b.json").write_text("other numbers")
    with pytest.raises(DataError, match=r"a b\.json is not the file that .*index\.json tells of"):
        write_crate(run)
    (run / "evaluation/metrics/a b.json").unlink()
    with pytest.raises(DataError, match=r"a b\.json is not the file"):
        write_crate(run)
    shutil.rmtree(run / "report")
    with pytest.raises(DataError, match=r"is no finished run: report/index\.html is missing"):
        write_crate(run)


def test_the_licence_is_that_of_the_text(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert {"license"} <= BuildReport.model_fields.keys() - Score.model_fields.keys()
    page = run / "report/provenance/index.json"
    page.write_text(page.read_text().replace('"settings": {}', '"settings": {"license": "CC BY-SA 4.0"}'))
    write_crate(run)
    assert graph(run)["./"]["license"] == "CC BY-SA 4.0"


def test_a_record_without_its_time_is_refused(run: Path) -> None:
    page = run / "report/provenance/index.json"
    page.write_text(page.read_text().replace('"finished"', '"ended"'))
    with pytest.raises(DataError, match="does not tell when and with what"):
        write_crate(run)
