"""`clara export-hub`: transformers loads the folder, whose methods give what the checkpoint gives."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModel
from typer.testing import CliRunner

import clara
from clara.cli import app
from clara.files import read_json
from tests import tiny

QUESTION = "Who lived in Cid?"


@pytest.fixture
def folder(workplace: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An exported folder, moved away from what it was made of."""
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(workplace / "modules"))
    checkpoint = workplace / "results" / "demo" / "joint" / "instruction-cr4-base"
    (workplace / "tables.md").write_text("| F1 | 1.5 |\n")
    words = ["export-hub", checkpoint, workplace / "out", "--results", workplace / "tables.md"]
    done = CliRunner().invoke(app, [*map(str, words)])
    assert done.exit_code == 0, done.output
    target = tmp_path_factory.mktemp("elsewhere") / "hub"
    shutil.move(workplace / "out", target)
    return target


def test_automodel_answers_as_the_checkpoint_does(workplace: Path, folder: Path) -> None:
    own = clara.load(workplace / "results" / "demo" / "joint" / "instruction-cr4-base")
    automatic: Any = AutoModel
    model = automatic.from_pretrained(str(folder), trust_remote_code=True)
    texts, read = model.generate_from_questions(questions=[QUESTION], documents=[tiny.TEXTS], max_new_tokens=5)
    (answer,) = own.answer([QUESTION], documents=[tiny.TEXTS], k=2, max_new_tokens=5)
    assert texts == [answer.text]
    assert [tiny.TEXTS[index] for index in read[0]] == answer.documents
    (whole,) = own.read([QUESTION], [tiny.TEXTS[:3]], max_new_tokens=5)
    assert model.generate_from_text([QUESTION], [tiny.TEXTS[:3]], max_new_tokens=5) == [whole.text]
    assert whole.documents == tiny.TEXTS[:3]
    paraphrases = model.generate_from_paraphrase(["", ""], [tiny.TEXTS[:1], tiny.TEXTS[1:2]], max_new_tokens=5)
    assert paraphrases == own.paraphrase(tiny.TEXTS[:2], max_new_tokens=5)
    assert torch.equal(model.compress_documents(tiny.TEXTS), own.compress(tiny.TEXTS))


def test_the_model_card_says_what_it_is_and_no_path_of_this_machine(workplace: Path, folder: Path) -> None:
    card = (folder / "README.md").read_text()
    assert "stage joint" in card
    assert "| F1 | 1.5 |" in card
    assert '"top_k": 2' in card
    for file in folder.rglob("*"):
        if file.suffix in (".json", ".md", ".py"):
            assert str(workplace) not in file.read_text(), file
    assert read_json(folder / "checkpoint" / "card.json")["backbone"] == "../backbone/card.json"


def test_a_folder_with_files_is_left_alone(workplace: Path) -> None:
    checkpoint = workplace / "results" / "demo" / "joint" / "instruction-cr4-base"
    done = CliRunner().invoke(app, ["export-hub", str(checkpoint), str(workplace / "my-documents"), "--json"])
    assert done.exit_code == 2
    assert "is not empty; name a new folder" in done.stderr
    note = str(next((workplace / "my-documents").iterdir()))
    for arguments, said in (([note], "is a file or is not empty"), ([f"{note}/below"], "cannot write")):
        done = CliRunner().invoke(app, ["export-hub", str(checkpoint), *arguments])
        assert done.exit_code == 2
        assert said in done.stderr
    tables = ["--results", str(workplace / "nowhere.md")]
    done = CliRunner().invoke(app, ["export-hub", str(checkpoint), str(workplace / "new"), *tables])
    assert done.exit_code == 2
    assert "nowhere.md does not exist" in done.stderr
    assert not (workplace / "new").exists()
    assert json.loads(CliRunner().invoke(app, ["info", str(checkpoint), "--json"]).stdout)["stage"] == "joint"
