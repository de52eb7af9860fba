"""Sizes of language models: by hand, by a model's configuration, its name, or guessed."""

import json
from pathlib import Path

import pytest

from clara.model_sizes import UNKNOWN, Model, model_of


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
