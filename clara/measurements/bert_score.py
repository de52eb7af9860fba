"""BERTScore (Zhang et al., 2020) with any encoder of transformers: no weights by frequency, no rescaling."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from clara.config.measurements import PAPERS_ENCODER
from clara.errors import ConfigError
from clara.evaluation.other_models import model_folder

SETTING = "measurements.recovery.bert_score"
PAPERS_LAYER = 17
"""Of the paper's encoder, by the reference implementation."""


class BertScore:
    """An encoder whose token states are matched greedily by cosine.

    Args:
        encoder: `package:DISTRIBUTION/FOLDER`, a folder or a Hub name.
        layer: whose states are compared, 0 the embeddings; None: 17 of the paper's encoder, the last of any other.

    Raises:
        ConfigError: the encoder cannot be loaded, or has fewer layers.
        ResourceError: its package is not installed, or it cannot be fetched.
    """

    def __init__(self, encoder: str, *, layer: int | None) -> None:
        from transformers import AutoModel, AutoTokenizer

        folder = model_folder(encoder, revision=None, setting=SETTING)
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(folder)
            self._model: Any = AutoModel.from_pretrained(folder).eval().requires_grad_(False)
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"{SETTING} = {encoder} cannot be loaded ({str(error).splitlines()[0]}); name an encoder, or set null"
            ) from error
        layers = self._model.config.num_hidden_layers
        if layer is None:
            layer = PAPERS_LAYER if Path(encoder).name == PAPERS_ENCODER else layers
        if layer > layers:
            raise ConfigError(f"{SETTING}_layer = {layer}, but {encoder} has {layers} layers")
        self._layer = layer

    @torch.inference_mode()
    def f1(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """F1 of each (text, reference); 0 where either is empty."""
        states = [[self._states(text) for text in pair] for pair in pairs]
        return [_matched(*given, *wanted) for given, wanted in states]

    def _states(self, text: str) -> tuple[Tensor, Tensor]:
        """Normalised states `[tokens, dim]`, and which of them count: special tokens can be matched but do not."""
        read = self._tokenizer(text, truncation=True, return_special_tokens_mask=True, return_tensors="pt")
        counted = read.pop("special_tokens_mask")[0] == 0
        hidden = self._model(**read, output_hidden_states=True).hidden_states[self._layer][0]
        return torch.nn.functional.normalize(hidden.float(), dim=-1), counted


def _matched(given: Tensor, given_counts: Tensor, wanted: Tensor, wanted_counts: Tensor) -> float:
    if not given_counts.any() or not wanted_counts.any():
        return 0.0
    similar = given @ wanted.T
    precision = float(similar.max(dim=1).values[given_counts].mean())
    recall = float(similar.max(dim=0).values[wanted_counts].mean())
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0
