"""`clara store`: estimate, build, add, delete, index, verify."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from clara.cli import app
from clara.model.clara import ClaraModel
from clara.model.store import MemoryStore
from tests import tiny


@pytest.fixture
def given(model: ClaraModel, tmp_path: Path) -> Path:
    """A folder with a checkpoint, and the tiny documents as JSON lines, in two files."""
    tiny.save(model, tmp_path / "checkpoint")
    rows = [json.dumps({"title": row.title, "text": row.text}) + "\n" for row in tiny.passages()]
    (tmp_path / "first.jsonl").write_text("".join(rows[:4]))
    (tmp_path / "more.jsonl").write_text("".join(rows[3:]))
    return tmp_path


def run(*words: object) -> str:
    done = CliRunner().invoke(app, ["store", *map(str, words)])
    assert done.exit_code == 0, done.output
    return " ".join(done.output.split())


def refused(*words: object) -> str:
    done = CliRunner().invoke(app, ["store", *map(str, words)])
    assert done.exit_code == 2, done.output
    return " ".join(done.output.split())


def test_a_store_is_built_grows_and_shrinks(given: Path) -> None:
    model, store = ["--model", given / "checkpoint"], given / "store"
    assert "4 documents: 0.0 MiB as int8, about" in run("estimate", given / "first.jsonl", *model, "--dtype", "int8")
    run("build", given / "first.jsonl", store, *model, "--dtype", "int8")
    before = MemoryStore(store / "manifest.json").rows([0, 1, 2, 3])
    assert "2 documents added, 6 in all" in run("add", given / "more.jsonl", store, *model)
    now = MemoryStore(store / "manifest.json")
    assert now.texts(range(6)) == tiny.TEXTS
    assert (now.rows([0, 1, 2, 3]) == before).all()
    run("index", store)
    assert "3 documents deleted, 3 are left" in run("delete", given / "more.jsonl", store, *model)
    assert MemoryStore(store / "manifest.json").texts(range(3)) == tiny.TEXTS[:3]
    assert not (store / "index.safetensors").exists()  # it was of the larger store
    assert "are as written" in run("verify", store)
    assert sorted(path.name for path in given.iterdir()) == ["checkpoint", "first.jsonl", "more.jsonl", "store"]


def test_what_would_spoil_a_store_is_refused(given: Path, make_model: Callable[..., ClaraModel]) -> None:
    model, store = ["--model", given / "checkpoint"], given / "store"
    assert "a store's type is one of" in refused("build", given / "first.jsonl", store, *model, "--dtype", "int2")
    run("build", given / "first.jsonl", store, *model)
    assert "is a store already" in refused("build", given / "first.jsonl", store, *model)
    other = make_model()
    tiny.stir(other, seed=9)
    tiny.save(other, given / "other")
    assert "compress the documents with this model" in refused(
        "add", given / "more.jsonl", store, "--model", given / "other"
    )
    (given / "wrong.jsonl").write_text('{"title": "x"}\n')
    assert "line 1 has no text" in refused("add", given / "wrong.jsonl", store, *model)
