"""The language model that is made on first use, by two processes at the same time."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from clara.model import first_use


def test_of_two_that_want_it_at_once_one_makes_it_and_the_other_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made, found = [], []

    def prepare(place: str, card: Path, **_: Any) -> None:
        made.append(place)
        time.sleep(0.5)
        (card.parent / "weights").write_text("")
        card.write_text("")

    monkeypatch.setenv(first_use.CACHE, str(tmp_path))
    monkeypatch.setattr(first_use.backbone_folder, "prepare", prepare)
    both = [threading.Thread(target=lambda: found.append(first_use.prepared("some/model"))) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert made == ["some/model"]
    assert found[0] == found[1]
    assert (found[0].parent / "weights").exists()
    assert "waits for another process" in capsys.readouterr().err


def test_a_model_made_from_a_package_is_made_again_where_a_file_of_it_was_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(first_use.CACHE, str(tmp_path))
    monkeypatch.setattr(first_use, "package_file", lambda name: "random:llama")
    card = first_use.prepared("package:made/up.gguf")
    weights = next(card.parent.rglob("*.safetensors"))
    whole = weights.read_bytes()
    assert first_use.prepared("package:made/up.gguf") == card
    weights.write_bytes(whole[:-8] + b"\xff" * 8)
    capsys.readouterr()
    assert first_use.prepared("package:made/up.gguf") == card
    assert weights.read_bytes() == whole
    assert "again, since a file of it is not as it was made" in capsys.readouterr().err
