"""Sizes of language models, known before anything is loaded: from a config.json that lies here, or by name."""

import json
import os
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from clara.config.locations import expand
from clara.errors import ConfigError


class Model(NamedTuple):
    """Sizes of a language model."""

    parameters: float
    layers: int
    width: int
    heads: int
    kv_width: int
    inner: int
    vocabulary: int

    def adapter(self, rank: int) -> float:
        """Values of one role's LoRA adapter on all linear layers."""
        d, kv, f = self.width, self.kv_width, self.inner
        return float(rank * self.layers * (2 * (d + d) + 2 * (d + kv) + 3 * (d + f)))

    @property
    def linear(self) -> int:
        """Values of all linear layers, the head apart."""
        d, kv, f = self.width, self.kv_width, self.inner
        return self.layers * (2 * d * d + 2 * d * kv + 3 * d * f)


KNOWN = {
    "smollm2-135m": Model(1.345e8, 30, 576, 9, 192, 1536, 49152),
    "random:": Model(2e5, 2, 64, 2, 64, 128, 1000),
    "mistral-7b": Model(7.24e9, 32, 4096, 32, 1024, 14336, 32000),
    "phi-4-mini": Model(3.84e9, 32, 3072, 24, 1024, 8192, 200064),
    "qwen2.5-32b": Model(3.28e10, 64, 5120, 40, 1024, 27648, 152064),
}
"""Part of a name, in lower case → sizes."""
UNKNOWN = Model(8.0e9, 32, 4096, 32, 4096, 14336, 152064)


@cache
def model_of(source: str) -> Model:
    """Sizes of the model that a `source` names: by its config.json where it lies here, by name, or a careful guess."""
    try:
        place = expand(source)
    except ConfigError:  # a variable that is not set: the step itself will say so
        place = source
    cached = Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser() / "hub"
    found = [Path(place) / "config.json", *cached.glob(f"models--{place.replace('/', '--')}/snapshots/*/config.json")]
    for path in found:
        if path.is_file():
            return _of_config(_read(path), path)
    lower = source.lower()
    for name, model in KNOWN.items():
        if name in lower:
            return model
    if number := re.search(r"(\d+(?:\.\d+)?)([bm])(?![a-z])", lower.rpartition("/")[2]):
        parameters = float(number[1]) * (1e9 if number[2] == "b" else 1e6)
        share = (parameters / UNKNOWN.parameters) ** (1 / 3)
        layers, width, kv, inner = (max(1, round(share * UNKNOWN[index])) for index in (1, 2, 4, 5))
        return UNKNOWN._replace(parameters=parameters, layers=layers, width=width, kv_width=kv, inner=inner)
    return UNKNOWN


def _read(path: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"{path} is no JSON ({error}); fetch the model again") from error
    if not isinstance(found, dict):
        raise ConfigError(f"{path} must hold a mapping, found {type(found).__name__}; fetch the model again")
    return found


def base_of_released(source: str) -> str | None:
    """The base model that a checkpoint of the released code names in its config.json; null where none lies here."""
    try:
        found = json.loads((Path(expand(source)) / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, ConfigError):
        return None
    named = found.get("decoder_model_name") if isinstance(found, dict) else None
    return named if isinstance(named, str) else None


def _of_config(given: Mapping[str, Any], path: Path) -> Model:
    """Sizes by a config.json; null counts as absent.

    Raises:
        ConfigError: a size is missing, or is no whole number; names it.
    """
    inner = given.get("text_config")
    given = inner if isinstance(inner, Mapping) else given

    def size(key: str, default: int | None = None) -> int:
        value = default if given.get(key) is None else given[key]
        if not isinstance(value, int) or value < 1:
            raise ConfigError(
                f"{path} has {key}: {json.dumps(value)}, so the size of the model is not known; name the folder of a "
                "causal language model of transformers"
            )
        return value

    d, layers, heads = size("hidden_size"), size("num_hidden_layers"), size("num_attention_heads")
    kv = size("num_key_value_heads", heads) * size("head_dim", max(1, d // heads))
    inner_width, vocabulary = size("intermediate_size"), size("vocab_size")
    embeddings = vocabulary * d * (1 if given.get("tie_word_embeddings") else 2)
    found = Model(0, layers, d, heads, kv, inner_width, vocabulary)
    return found._replace(parameters=found.linear + embeddings)
