import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from clara.cli import app
from clara.environment import write_provenance
from clara.model import backbone, backbone_folder, checkpoint
from clara.model.clara import ClaraModel, Shape
from clara.model.compression import build_store
from clara.records import Pair, Passage, document_id, document_text
from clara.row_files import write_rows
from tests import tiny
from tests.model import released_writer

DOCUMENTS = [("City", "It was founded in 1887."), ("Painter", "She left in 2003."), ("River", "It runs to the south.")]


def clara(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with a joint checkpoint and its store, as a finished run leaves them."""
    root = tmp_path_factory.mktemp("work")
    results = root / "results" / "tiny"
    card = backbone_folder.prepare(
        "random:llama", results / "backbone" / "card.json", seed=3, revision=None, trust_remote_code=False
    )
    shape = Shape(num_memory=2, document_max_tokens=32, form="pooled", rank=4, alpha=8, dropout=0.0)
    model = ClaraModel(backbone.load(card, dtype="float32"), shape, seed=5)
    model.add_query_reasoner("compressor")
    folder = results / "joint" / "instruction-cr16-base"
    write_provenance(folder, {"backbone": {"dtype": "float32"}, "joint": {"top_k": 2}}, seed=5, inputs=[])
    checkpoint.save(folder, model, stage="joint", learned=["generator"], parent=None, card_name="card.json")
    loaded = checkpoint.load(folder / "card.json", dtype="float32")
    passages = [
        Passage(id=document_id(document_text(title, text)), title=title, text=text) for title, text in DOCUMENTS
    ]
    store = results / "compression" / "instruction-cr16-shared"
    build_store(
        loaded,
        passages,
        store / "manifest.json",
        state=root / "state",
        dtype="float32",
        shard_documents=2,
        batch_tokens=256,
    )
    return root


def test_help_starts_without_heavy_libraries() -> None:
    heavy = {"torch", "transformers", "pandas", "pyarrow", "numpy", "peft"}
    code = (
        "import sys\nfrom typer.testing import CliRunner\nfrom clara.cli import app\n"
        "result = CliRunner().invoke(app, ['--help'])\n"
        f"print(result.exit_code, 'import-released' in result.output, *sorted({heavy!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "True"]


def test_the_module_is_the_command(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-m", "clara", "store", "info", "nowhere"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
    )
    assert done.returncode == 2
    assert done.stderr == "error: nowhere does not exist; check its path, or run the step that makes it\n"


def test_a_question_is_answered_from_the_newest_run_here(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run)
    result = clara("ask", "Who was the painter?", "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["model"] == "results/tiny/joint/instruction-cr16-base"
    assert found["store"].endswith("compression/instruction-cr16-shared")
    assert len(found["documents"]) == 2  # as in training
    scores = [document["score"] for document in found["documents"]]
    assert scores == sorted(scores, reverse=True)


def test_a_search_gives_passages_and_no_answer(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run)
    asked = json.loads(clara("ask", "Who was the painter?", "--k", 3, "--json").stdout)
    found = json.loads(clara("search", "Who was the painter?", "--k", 3, "--json").stdout)
    assert [row["id"] for row in found["passages"]] == [row["id"] for row in asked["documents"]]
    assert {(row["title"], row["text"]) for row in found["passages"]} == set(DOCUMENTS)
    assert set(asked["seconds"]) == {"reasoner", "search", "generation"}
    assert len(clara("search", "Who?", "--k", 1).stdout.splitlines()) == 1


def test_model_store_and_number_of_documents_can_be_named(run: Path) -> None:
    results = run / "results" / "tiny"
    model, store = results / "joint" / "instruction-cr16-base", results / "compression" / "instruction-cr16-shared"
    result = clara("ask", "Who?", "--model", model, "--store", store, "--k", 3)
    assert result.exit_code == 0, result.stderr
    shown = [line.split(maxsplit=2)[2] for line in result.stderr.splitlines() if line.startswith("  ")]
    assert re.fullmatch(r"reasoner [\d.]+ s, search [\d.]+ s, generation [\d.]+ s", result.stderr.splitlines()[-1])
    assert sorted(shown) == sorted(f"{title} · {text}" for title, text in DOCUMENTS)


def test_without_a_finished_run_the_answer_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = clara("ask", "Who?")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: there is no finished run under ")
    assert len(result.stderr.splitlines()) == 1


def test_a_checkpoint_says_what_it_is_and_serves(run: Path) -> None:
    result = clara("info", run / "results" / "tiny" / "joint" / "instruction-cr16-base")
    rows = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
    assert rows["stage"] == "joint"
    assert rows["memory"] == "2 vectors for 32 tokens, form pooled, idf power 4"
    assert rows["serves"] == "compress, score, select, answer, reason, search"


def test_a_store_says_what_it_holds(run: Path) -> None:
    result = clara("store", "info", run / "results" / "tiny" / "compression" / "instruction-cr16-shared")
    rows = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
    assert rows["documents"] == "3"
    assert rows["memories"] == "2 vectors of 64 numbers a document, float32"
    assert rows["files"].startswith("2 of memories")


def test_a_changed_byte_in_a_store_is_found(run: Path, tmp_path: Path) -> None:
    store = run / "results" / "tiny" / "compression" / "instruction-cr16-shared"
    copy = tmp_path / "store"
    copy.mkdir()
    for file in store.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    assert clara("store", "verify", copy).exit_code == 0
    shard = sorted(copy.glob("*.safetensors"))[1]
    shard.write_bytes(shard.read_bytes()[:-1] + b"\x07")
    result = clara("store", "verify", copy)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {copy}: {shard.name} not as they were written")


def test_a_released_checkpoint_is_imported_and_known_afterwards(tmp_path: Path) -> None:
    world = released_writer.write(tmp_path)
    result = clara("import-released", world.source, tmp_path / "ours", "--base", world.base)
    assert result.exit_code == 0, result.stderr
    assert "a checkpoint of joint with compressor, generator, query_reasoner" in result.stdout
    assert "form plain" in clara("info", tmp_path / "ours").stdout
    result = clara("ask", "Who?", "--model", tmp_path / "ours")
    assert result.exit_code == 2
    assert "there is no store of this checkpoint's compressor" in result.stderr


def test_an_imported_checkpoint_is_diagnosed(tmp_path: Path) -> None:
    world = released_writer.write(tmp_path)
    clara("import-released", world.source, tmp_path / "ours", "--base", world.base)
    rows = [tiny.question(number, docs=[number, number + 1], gold=[0]) for number in range(3)]
    write_rows(tmp_path / "questions.jsonl", rows)
    given = (tmp_path / "ours", tmp_path / "questions.jsonl", "--examples", 2)
    result = clara("diagnose", *given, "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["memory_use"]["n"] == 2
    assert found["diagnostics"]["validation_loss"] is None
    assert found["against"] == []
    assert [len(near["nearest"]) for near in found["diagnostics"]["documents"]] == [4, 4]
    beside = clara("diagnose", *given, "--against", tmp_path / "ours").stdout
    assert "right +0.000 (+0.000 to +0.000), wrong - right +0.000 (+0.000 to +0.000)" in beside
    shown = clara("diagnose", *given).stdout
    assert f"right {found['memory_use']['losses']['right']['mean']:.3f}, wrong " in shown
    assert "training" not in shown
    for lens in found["diagnostics"]["questions"]:
        assert f"lens      {' '.join(lens['words'])}" in shown
    assert "at least two questions with gold documents" in clara("diagnose", tmp_path / "ours", _one(tmp_path)).stderr
    document = rows[0].docs[0]
    learnt = Pair(id="p", document_id="d", document=document, kind="simple", question="Who?", answer="Ida")
    write_rows(tmp_path / "learnt.parquet", [learnt])
    unseen = clara("diagnose", *given[:2], "--unseen", tmp_path / "learnt.parquet", "--json")
    assert json.loads(unseen.stdout)["memory_use"]["n"] == 2, "three questions, one of them about what was learnt"


def _one(folder: Path) -> Path:
    write_rows(folder / "one.jsonl", [tiny.question(0, docs=[0, 1], gold=[0])])
    return folder / "one.jsonl"
