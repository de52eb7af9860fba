import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clara.errors import CheckpointError, ConfigError
from clara.model import backbone_folder
from clara.model.model_folder import read_model
from tests import tiny


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A llama of two layers, complete."""
    return tiny.prepare("llama", tmp_path / "made").folder


def prepare(folder: Path, *, trust: bool = False) -> None:
    card = folder.parent / "other" / "card.json"
    try:
        backbone_folder.prepare(str(folder), card, seed=0, revision=None, trust_remote_code=trust)
    finally:
        assert not card.exists()


def configured(folder: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    return folder


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda config: {}, r"no usable causal language model \(Unrecognized model"),
        (lambda config: [config], "no usable causal language model"),
        (lambda config: {"model_type": "clip"}, "no usable causal language model"),
        (lambda config: {**config, "hidden_size": "wide"}, "'hidden_size' expected int, got str"),
        (lambda config: {**config, "num_attention_heads": 7}, "not a multiple of the number of attention heads"),
        (
            lambda config: {**config, "num_hidden_layers": 3},
            r"lacks 9 weights of the shapes that its config\.json asks for, first model\.layers\.2\.",
        ),
        (
            lambda config: {**config, "intermediate_size": 8},
            r"lacks 6 weights .* first model\.layers\.0\.mlp\.down_proj",
        ),
        (lambda config: {**config, "model_type": "bert"}, "lacks 4[0-9] weights .* first bert"),
    ],
)
def test_a_configuration_that_fits_no_weights_is_refused_when_it_is_prepared(
    change: Callable[[dict[str, Any]], Any], message: str, folder: Path
) -> None:
    with pytest.raises(CheckpointError, match=message):
        prepare(configured(folder, change))


@pytest.mark.parametrize("content", [b"", b"x" * 500, None])
def test_damaged_weights_are_refused_when_they_are_prepared(content: bytes | None, folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000] if content is None else content)
    with pytest.raises(CheckpointError, match=r"no usable causal language model \(Error while deserializing header"):
        prepare(folder)


def test_a_lost_shard_or_index_is_refused_when_it_is_prepared(folder: Path) -> None:
    read_model(folder, dtype="float32").save_pretrained(folder.parent / "parts", max_shard_size="100KB")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(folder / name, folder.parent / "parts")
    parts = folder.parent / "parts"
    next(parts.glob("model-00002-*")).unlink()
    with pytest.raises(CheckpointError, match=r"No such file .*model-00002-"):
        prepare(parts)
    (parts / "model.safetensors.index.json").unlink()
    with pytest.raises(CheckpointError, match=r"no file named model\.safetensors"):
        prepare(parts)


@pytest.mark.parametrize("content", ["", "{}", "[]"])
def test_a_damaged_tokenizer_is_refused_when_it_is_prepared(content: str, folder: Path) -> None:
    (folder / "tokenizer.json").write_text(content)
    with pytest.raises(CheckpointError, match="holds no usable tokenizer"):
        prepare(folder)


def test_code_of_the_model_needs_leave(folder: Path) -> None:
    own = {"model_type": "own", "auto_map": {"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model"}}
    with pytest.raises(
        ConfigError, match=r"Python code of its own; read it, then set backbone\.trust_remote_code: true"
    ):
        prepare(configured(folder, lambda config: own))


def test_an_attention_that_is_not_installed_is_refused_with_the_one_that_is(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"backbone\.attention = flash_attention_2: .*set backbone\.attention: sdpa"):
        read_model(folder, dtype="float32", attention="flash_attention_2")
    with pytest.raises(ConfigError, match=r"backbone\.attention = odd"):
        read_model(folder, dtype="float32", attention="odd")
    with pytest.raises(ConfigError, match="dtype = save is no precision"):
        read_model(folder, dtype="save")
