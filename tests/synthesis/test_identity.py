"""Which model answers: of two that differ in their weights alone, neither is given the other's replies."""

import os
from pathlib import Path

import pytest

from clara.config.synthesis import Synthesis
from clara.files import sha256_file, write_json
from clara.synthesis import identity
from clara.synthesis.identity import model_identity
from clara.synthesis.synthesize import _engine
from tests.synthesis.test_synthesize import SETTINGS


def model(folder: Path, weights: str = "123") -> Path:
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_text(weights)
    return folder


def of(folder: Path, dtype: str = "float32", **known: str) -> str:
    return model_identity(folder, dtype, state=folder.parent / "state", known=known)


def test_the_identity_follows_content_and_precision_but_not_the_folder(tmp_path: Path) -> None:
    one, same = model(tmp_path / "a"), model(tmp_path / "b")
    assert of(one) == of(same) != of(one, "bfloat16")
    (same / "config.json").write_text("{ }")
    assert of(one) != of(same)


def test_models_of_the_same_shape_and_size_are_two(tmp_path: Path) -> None:
    assert of(model(tmp_path / "a", "123")) != of(model(tmp_path / "b", "321"))


def test_weights_are_hashed_once_and_again_when_they_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, hashed = model(tmp_path / "a"), list[str]()

    def counting(path: Path) -> str:
        hashed.append(path.name)
        return sha256_file(path)

    monkeypatch.setattr(identity, "sha256_file", counting)
    first = of(folder)
    assert of(folder) == first
    assert hashed == ["model.safetensors"]
    (folder / "model.safetensors").write_text("321")
    os.utime(folder / "model.safetensors", ns=(1, 1))
    assert of(folder) != first
    (tmp_path / "state" / "weights.json").write_text("cut sho")
    assert of(folder) != first
    assert len(hashed) == 3


def test_what_the_backbones_card_tells_is_not_hashed_and_gives_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = model(tmp_path / "model")
    by_hand, files = of(folder), {"model.safetensors": sha256_file(folder / "model.safetensors")}
    write_json(tmp_path / "card.json", {"path": "model", "files": files})
    monkeypatch.setattr(identity, "sha256_file", lambda path: pytest.fail("hashed"))
    settings = Synthesis.model_validate(SETTINGS | {"model": None})
    assert _engine(settings, "float32", tmp_path / "card.json", tmp_path / "fresh", None).model == by_hand
    assert not (tmp_path / "fresh").exists()
