"""Sizes of language models: by hand, by a model's configuration, its name, or guessed."""

import json
from pathlib import Path

import pytest

from clara.errors import ConfigError
from clara.model_sizes import UNKNOWN, Model, base_of_released, model_of


def test_an_adapter_has_rank_times_in_and_out_of_every_linear_layer() -> None:
    tiny = Model(0, layers=3, width=10, heads=1, kv_width=4, inner=20, vocabulary=1)
    # q and o: 10 -> 10; k and v: 10 -> 4; gate and up: 10 -> 20; down: 20 -> 10.
    assert tiny.adapter(2) == 2 * 3 * (2 * 20 + 2 * 14 + 3 * 30)


def test_a_model_is_known_by_its_configuration_by_name_or_guessed(tmp_path: Path) -> None:
    given = {
        "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
        "intermediate_size": 14336, "vocab_size": 32000, "tie_word_embeddings": False,
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(given))
    assert model_of(str(tmp_path)).parameters == pytest.approx(7.24e9, rel=0.01)
    assert model_of("mistralai/Mistral-7B-Instruct-v0.2").parameters == 7.24e9
    assert model_of("someone/new-70B-chat").parameters == 7e10
    assert model_of("someone/new-model") == UNKNOWN
    assert model_of("$CLARA_NOT_SET/model") == UNKNOWN


LLAMA = {
    "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128, "vocab_size": 1000,
}  # fmt: skip


def test_null_in_a_models_configuration_counts_as_absent(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({**LLAMA, "head_dim": None, "num_key_value_heads": None}))
    assert model_of(str(tmp_path)).kv_width == 64


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (json.dumps({"hidden_size": 64}), r"config.json has num_hidden_layers: null"),
        (json.dumps(LLAMA | {"hidden_size": "64"}), r'has hidden_size: "64"'),
        (json.dumps(LLAMA | {"num_attention_heads": 0}), r"has num_attention_heads: 0"),
        ("{", r"config.json is no JSON"),
        ("[]", r"must hold a mapping, found list"),
    ],
)
def test_a_configuration_without_a_size_is_named(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ConfigError, match=said):
        model_of(str(tmp_path))


def test_the_base_of_a_released_checkpoint_is_read_from_it(tmp_path: Path) -> None:
    assert base_of_released(str(tmp_path)) is None
    (tmp_path / "config.json").write_text('{"decoder_model_name": "mistralai/Mistral-7B-Instruct-v0.2"}')
    assert base_of_released(str(tmp_path)) == "mistralai/Mistral-7B-Instruct-v0.2"
