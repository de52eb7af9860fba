"""`clara compress` and `clara store`."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
import torch
from typer.testing import CliRunner

from clara.cli import app
from clara.model.clara import ClaraModel
from clara.model.search import Index
from clara.model.store import MemoryStore
from clara.records import Passage
from clara.row_files import read_rows
from clara.tokens import Encoder
from tests import tiny


@pytest.fixture
def given(make_model: Callable[..., ClaraModel], tmp_path: Path) -> Path:
    """A folder with a checkpoint that reads any of the tiny documents whole, and these as JSON lines, in two files."""
    tiny.save(make_model(document_max_tokens=128), tmp_path / "checkpoint")
    rows = [json.dumps({"title": row.title, "text": row.text}) + "\n" for row in tiny.passages()]
    (tmp_path / "first.jsonl").write_text("".join(rows[:4]))
    (tmp_path / "more.jsonl").write_text("".join(rows[3:]))
    return tmp_path


def run(*words: object) -> str:
    done = CliRunner().invoke(app, [*map(str, words)])
    assert done.exit_code == 0, done.output
    return " ".join(done.output.split())


def told(*words: object) -> dict[str, Any]:
    done = CliRunner().invoke(app, [*map(str, words), "--json"])
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def refused(*words: object) -> str:
    done = CliRunner().invoke(app, [*map(str, words)])
    assert done.exit_code == 2, done.output
    return " ".join(done.output.split())


def test_sources_without_a_document_are_refused_before_any_model_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    words = ["compress", tmp_path / "notes", "--store", tmp_path / "store", "--model", tmp_path / "nothing"]
    done = CliRunner().invoke(app, [*map(str, words)])
    assert done.exit_code == 2
    assert "no file ends with .txt" in " ".join(done.output.split())


def test_a_folder_of_checkpoints_names_them(given: Path) -> None:
    done = CliRunner().invoke(app, ["info", str(given)])
    assert done.exit_code == 2
    assert f"is no checkpoint but holds some; name one: {given}/checkpoint" in "".join(done.output.splitlines())


def test_a_store_is_built_grows_and_shrinks(given: Path) -> None:
    model, store = ["--model", given / "checkpoint"], given / "store"
    first = ["compress", given / "first.jsonl", "--store", store, *model, "--dtype", "int8"]
    assert "4 passages of 1 files: 0.0 MiB as int8, about" in run(*first, "--estimate")
    assert not store.exists()
    assert told(*first) == {"store": str(store), "files": 1, "skipped": [], "added": 4, "passages": 4}
    assert told(*first)["added"] == 0
    before = MemoryStore(store / "manifest.json").rows([0, 1, 2, 3])
    assert "2 passages added, 6 in all" in run("store", "add", store, given / "more.jsonl", *model)
    now = MemoryStore(store / "manifest.json")
    assert now.texts(range(6)) == tiny.TEXTS
    assert (now.rows([0, 1, 2, 3]) == before).all()
    run("store", "index", store)
    assert "3 passages removed, 3 are left" in run("store", "remove", store, given / "more.jsonl", *model)
    assert MemoryStore(store / "manifest.json").texts(range(3)) == tiny.TEXTS[:3]
    assert Index(MemoryStore(store / "manifest.json")).rows is not None  # of the smaller store
    assert "are as written" in run("store", "verify", store)
    assert sorted(path.name for path in given.iterdir()) == ["checkpoint", "first.jsonl", "more.jsonl", "store"]


@pytest.mark.parametrize("kind", ["scan", "lists"])
def test_a_changed_store_keeps_its_kind_of_index(kind: str, given: Path) -> None:
    if kind == "lists":
        pytest.importorskip("faiss")
    model, store = ["--model", given / "checkpoint"], given / "store"
    run("compress", given / "first.jsonl", "--store", store, *model)
    assert not (store / "index.safetensors").exists()
    for command, documents in (
        ("add", "more.jsonl"),
        ("remove", "more.jsonl"),
        ("update", "more.jsonl"),
    ):
        run("store", "index", store, "--kind", kind)
        before = (store / "index.safetensors").read_bytes()
        assert "making the store's index anew" in run("store", command, store, given / documents, *model)
        now = MemoryStore(store / "manifest.json")
        index = Index(now)
        assert (index.lists is not None) == (kind == "lists")
        assert index.directions.shape[1] == now.manifest.num_documents  # 256 where there are so many
        assert (store / "index.safetensors").read_bytes() != before


def test_an_update_compresses_what_is_new_or_changed_and_drops_what_is_gone(
    given: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, store = ["--model", given / "checkpoint"], given / "store"
    run("compress", given / "first.jsonl", "--store", store, *model)
    rows = [json.loads(line) for line in (given / "first.jsonl").read_text().splitlines()]
    before = MemoryStore(store / "manifest.json").rows([0])
    rows[1]["text"] += " It was sold."
    (given / "next.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[:2]))
    read = []
    to_compress = Encoder.to_compress
    monkeypatch.setattr(Encoder, "to_compress", lambda self, text: read.append(text) or to_compress(self, text))
    found = told("store", "update", store, given / "next.jsonl", *model)
    assert (found["added"], found["removed"], found["passages"]) == (1, 3, 2)
    assert [text.endswith("It was sold.") for text in read] == [True]
    now = MemoryStore(store / "manifest.json")
    assert now.texts([1])[0].endswith("It was sold.")
    assert (now.rows([0]) == before).all()
    assert told("store", "update", store, given / "next.jsonl", *model)["added"] == 0


def test_an_interrupted_addition_leaves_the_store_as_it_was(given: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, store = ["--model", given / "checkpoint"], given / "store"
    run("compress", given / "first.jsonl", "--store", store, *model)

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("clara.model.compression._publish", stop)
        interrupted = ["store", "add", store, given / "more.jsonl", *model]
        assert CliRunner().invoke(app, [*map(str, interrupted)]).exit_code != 0
    assert MemoryStore(store / "manifest.json").manifest.num_documents == 4
    assert told("store", "add", store, given / "more.jsonl", *model)["passages"] == 6


def test_a_damaged_store_is_neither_copied_nor_hashed_anew(given: Path) -> None:
    model, store = ["--model", given / "checkpoint"], given / "store"
    run("compress", given / "first.jsonl", "--store", store, *model)
    flip(store / "memories-00000.safetensors")
    before = {file.name: file.read_bytes() for file in store.iterdir()}
    for words in (
        ["store", "add", store, given / "more.jsonl"],
        ["store", "remove", store, given / "more.jsonl"],
        ["store", "update", store, given / "more.jsonl"],
        ["compress", given / "more.jsonl", "--store", store],
    ):
        told = refused(*words, *model)
        assert "memories-00000.safetensors in" in told
        assert (
            f"is not as it was written, a damaged disk or an edit; delete the folder {store} and compress again" in told
        )
        assert {file.name: file.read_bytes() for file in store.iterdir()} == before
    assert "not as they were written; delete the folder" in refused("store", "verify", store)


def test_no_remedy_leads_into_another_refusal_or_deletes_what_is_no_store(given: Path) -> None:
    model, store = ["--model", given / "checkpoint"], given / "store"
    first = ["compress", given / "first.jsonl", "--store", store, *model]
    run(*first)
    remedy = f"delete the folder {store} and compress again"
    manifest = (store / "manifest.json").read_text()
    for content in (manifest[:-20], "\0\xff", manifest.replace('"dim"', '"dam"'), manifest.replace('a": 1', 'a": 7')):
        (store / "manifest.json").write_text(content, encoding="latin-1")
        for words in (["store", "verify", store], ["store", "add", store, given / "more.jsonl", *model], first):
            assert remedy in refused(*words)
    (store / "manifest.json").unlink()
    assert f"lacks its manifest.json; {remedy}" in refused(*first)
    (store / "manifest.json").write_text(manifest)
    flip(store / "documents.parquet")
    assert remedy in refused("store", "add", store, given / "more.jsonl", *model)
    (given / "notes.json").write_text('{"mine"')
    (given / "photo.bin").write_bytes(b"\x89\xff")
    for name in ("notes.json", "photo.bin", "first.jsonl"):
        told = refused("store", "info", given / name)
        assert "name a store's folder or its manifest.json" in told
        assert "delete" not in told


def flip(file: Path) -> None:
    """Flips a bit in the middle of a file."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4
    file.write_bytes(content)


def test_a_store_that_a_kill_left_aside_is_put_back_by_what_names_it(given: Path) -> None:
    model, store = ["--model", given / "checkpoint"], given / "store"
    first = ["compress", given / "first.jsonl", "--store", store, *model]
    run(*first)
    for words in (["store", "verify", store], ["store", "info", store], first):
        store.rename(given / ".store.0123abcd.old")
        assert "0123abcd" not in run(*words)
        assert MemoryStore(store / "manifest.json").manifest.num_documents == 4


def test_a_store_is_exported_for_other_programs(given: Path) -> None:
    store = given / "store"
    run("compress", given / "first.jsonl", "--store", store, "--model", given / "checkpoint", "--dtype", "float32")
    run("store", "export", store, given / "out.parquet")
    table = pyarrow.parquet.read_table(given / "out.parquet")
    assert [f"{row['title']}\n{row['text']}" for row in table.to_pylist()] == tiny.TEXTS[:4]
    shape = json.loads(table.schema.metadata[b"memory_shape"])
    memories = torch.tensor(table["memory"].to_pylist()).reshape(4, *shape)
    assert torch.equal(memories, MemoryStore(store / "manifest.json").rows([0, 1, 2, 3]))
    run("store", "export", store, given / "out.jsonl")
    assert [row.document for row in read_rows(Passage, given / "out.jsonl")] == tiny.TEXTS[:4]
    assert "expected a file that ends with .parquet or .jsonl" in refused("store", "export", store, given / "out.csv")
    (given / "out.jsonl").write_text("mine")
    assert "is there already; name another file" in refused("store", "export", store, given / "out.jsonl")
    assert (given / "out.jsonl").read_text() == "mine"
    run("store", "export", store, given / "out.jsonl", "--overwrite")
    assert len(read_rows(Passage, given / "out.jsonl")) == 4
    for name in ("documents.parquet", "new.jsonl"):
        told = refused("store", "export", store, store / name, "--overwrite")
        assert f"{store / name} is within the store {store}" in told
    assert "are as written" in run("store", "verify", store)


def test_a_disk_that_is_too_small_is_told_with_the_stores_name(given: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, store = ["--model", given / "checkpoint"], given / "store"
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(1, 1, 10))  # type: ignore[attr-defined]
    first = ["compress", given / "first.jsonl", "--store", store, *model]
    for words in ([*first, "--estimate"], first):
        told = refused(*words)
        assert f"the disk of {store} has room for 0.0 GB; choose a smaller type (--dtype of a new store)" in told


def test_what_would_spoil_a_store_is_refused(given: Path, make_model: Callable[..., ClaraModel]) -> None:
    model, store = ["--model", given / "checkpoint"], given / "store"
    first = ["compress", given / "first.jsonl", "--store", store, *model]
    assert "a store's type is one of" in refused(*first, "--dtype", "int2")
    run(*first)
    other = make_model()
    tiny.stir(other, seed=9)
    tiny.save(other, given / "other")
    for command in (
        ["compress", given / "more.jsonl", "--store", store],
        ["store", "add", store, given / "more.jsonl"],
    ):
        assert "compress the documents with this model" in refused(*command, "--model", given / "other")
    (given / "wrong.jsonl").write_text('{"title": "x"}\n')
    assert "line 1 is no document row: field text: field required" in refused(
        "store", "add", store, given / "wrong.jsonl", *model
    )
    assert "would be left empty" in refused("store", "remove", store, given / "first.jsonl", *model)


def test_a_store_takes_no_other_folders_place(given: Path) -> None:
    documents = given / "documents"
    documents.mkdir()
    (documents / "a.txt").write_text("Bo left.")
    model = ["--model", given / "checkpoint"]
    for place in (documents, documents / "a.txt", given / "checkpoint"):
        assert f"{place} is there already and is no store" in refused("compress", documents, "--store", place, *model)
    assert "has no name of its own" in refused("compress", documents, "--store", "", *model)
    assert (documents / "a.txt").read_text() == "Bo left."
    (given / "new").mkdir()
    run("compress", documents, "--store", given / "new", *model)


def test_an_argument_that_is_no_utf_8_is_refused_in_a_sentence(given: Path) -> None:
    place = os.fsdecode(b"caf\xe9")
    told = refused("compress", given / "first.jsonl", "--store", place, "--model", given / "checkpoint")
    assert r"store 'caf\udce9' holds bytes that are no UTF-8; rename the file" in told
