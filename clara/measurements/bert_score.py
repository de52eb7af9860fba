"""BERTScore (Zhang et al., 2020) with any encoder of transformers: no weights by frequency, no rescaling."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from clara.config.locations import expand
from clara.config.measurements import PAPERS_LAYER, is_papers_encoder
from clara.errors import ConfigError
from clara.evaluation.other_models import model_folder
from clara.progress import Progress

SETTING = "measurements.recovery.bert_score"
TOGETHER = 16
"""Pairs of texts that are read at once."""


class BertScore:
    """An encoder whose token states are matched greedily by cosine, on the best device.

    Args:
        encoder: `package:DISTRIBUTION/FOLDER`, a folder or a Hub name; weights as safetensors.
        layer: whose states are compared, 0 the embeddings; None: 17 of the paper's encoder, the last of any other.

    Raises:
        ConfigError: the encoder cannot be loaded, or has fewer layers.
        ResourceError: its package is not installed, or it cannot be fetched.
    """

    def __init__(self, encoder: str, *, layer: int | None) -> None:
        from transformers import AutoModel, AutoTokenizer

        folder = model_folder(expand(encoder), revision=None, setting=SETTING)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(folder)
            self._model: Any = AutoModel.from_pretrained(folder).eval().requires_grad_(False).to(device)
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"{SETTING} = {encoder} cannot be loaded ({str(error).splitlines()[0]}); name an encoder whose weights "
                "are safetensors, or set null"
            ) from error
        layers = self._model.config.num_hidden_layers
        self.layer = (PAPERS_LAYER if is_papers_encoder(encoder) else layers) if layer is None else layer
        if self.layer > layers:
            raise ConfigError(f"{SETTING}_layer = {self.layer}, but {encoder} has {layers} layers")

    def f1(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """F1 of each (text, reference); 0 where either is empty."""
        found: list[float] = []
        with Progress("comparing", total=len(pairs), unit="documents") as progress:
            for start in range(0, len(pairs), TOGETHER):
                part = pairs[start : start + TOGETHER]
                states = self._states([text for pair in part for text in pair])
                found += [_matched(*states[2 * i], *states[2 * i + 1]) for i in range(len(part))]
                progress.update(len(found))
        return found

    @torch.inference_mode()
    def _states(self, texts: Sequence[str]) -> list[tuple[Tensor, Tensor]]:
        """Of each text its normalised states `[tokens, dim]`, and which of them count.

        Special tokens can be matched but do not count.
        """
        read = self._tokenizer(
            list(texts), truncation=True, padding=True, return_special_tokens_mask=True, return_tensors="pt"
        ).to(self._model.device)
        special = read.pop("special_tokens_mask").bool()
        shown = read["attention_mask"].bool()
        hidden = self._model(**read, output_hidden_states=True).hidden_states[self.layer]
        unit = torch.nn.functional.normalize(hidden.float(), dim=-1)
        return [(row[seen], ~apart[seen]) for row, seen, apart in zip(unit, shown, special, strict=True)]


def _matched(given: Tensor, given_counts: Tensor, wanted: Tensor, wanted_counts: Tensor) -> float:
    if not given_counts.any() or not wanted_counts.any():
        return 0.0
    similar = given @ wanted.T
    precision = float(similar.max(dim=1).values[given_counts].mean())
    recall = float(similar.max(dim=0).values[wanted_counts].mean())
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0
