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
            return _of_config(json.loads(path.read_text(encoding="utf-8")))
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


def _of_config(given: Mapping[str, Any]) -> Model:
    given = given.get("text_config", given)
    d, layers, heads = given["hidden_size"], given["num_hidden_layers"], given["num_attention_heads"]
    kv = given.get("num_key_value_heads", heads) * given.get("head_dim", d // heads)
    inner, vocabulary = given["intermediate_size"], given["vocab_size"]
    embeddings = vocabulary * d * (1 if given.get("tie_word_embeddings") else 2)
    found = Model(0, layers, d, heads, kv, inner, vocabulary)
    return found._replace(parameters=found.linear + embeddings)
