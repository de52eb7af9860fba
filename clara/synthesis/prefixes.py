"""Prompts that begin alike are read once: the keys and values of their beginnings, kept for the requests to come."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

from clara.errors import ConfigError
from clara.model.padding import left_padded

HELD_TOKENS = 8192
"""Of all beginnings together: those of some fifty passages, 0.4 GB for SmolLM2-135M in float32."""

Read = list[tuple[Tensor, Tensor]]
"""Keys and values of one text, each `[groups, tokens, dim]`, by layer."""


class Roomy(DynamicLayer):  # type: ignore[no-untyped-call]
    """A layer's keys and values in place for the whole reply: nothing is copied when a token is added."""

    def __init__(self, room: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.room = room
        self.held = 0

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Adds `[batch, groups, tokens, dim]` and gives back all."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self._all = (self._empty(key_states), self._empty(value_states))
        start, self.held = self.held, self.held + key_states.shape[2]
        for whole, new in zip(self._all, (key_states, value_states), strict=True):
            whole[:, :, start : self.held] = new
        self.keys, self.values = self.both()
        return self.both()

    def both(self) -> tuple[Tensor, Tensor]:
        """Keys and values so far, `[batch, groups, tokens, dim]`."""
        keys, values = self._all
        return keys[:, :, : self.held], values[:, :, : self.held]

    def _empty(self, states: Tensor) -> Tensor:
        batch, groups, _, dim = states.shape
        return states.new_zeros(batch, groups, self.room, dim)

    def keep(self, rows: Tensor) -> None:
        """Drops all but some rows of the batch."""
        self._all = (self._all[0][rows], self._all[1][rows])
        self.keys, self.values = self.both()


class RoomyCache(Cache):
    """The layers of a model, with room for some tokens.

    Raises:
        ConfigError: the model keeps something else than keys and values.
    """

    def __init__(self, model: Any, room: int) -> None:
        usual = DynamicCache(config=model.config).layers
        if not all(isinstance(layer, DynamicLayer) for layer in usual):
            raise ConfigError(
                f"synthesis.engine = transformers cannot batch a model of type {model.config.model_type}, which keeps "
                "more than keys and values; take vllm"
            )
        self.roomy = [Roomy(room) for _ in usual]
        super().__init__(layers=list(self.roomy))

    def keep(self, rows: Tensor) -> None:
        """Drops all but some rows of the batch."""
        for layer in self.roomy:
            layer.keep(rows)


class Prefixes:
    """Beginnings of prompts that were read, the latest used last; the oldest give way.

    Args:
        model: reads.
        held_tokens: of all beginnings together.
    """

    def __init__(self, model: Any, held_tokens: int = HELD_TOKENS) -> None:
        self._model = model
        self._held_tokens = held_tokens
        self._read: OrderedDict[tuple[int, ...], Read] = OrderedDict()

    def __contains__(self, ids: tuple[int, ...]) -> bool:
        return ids in self._read

    def clear(self) -> None:
        """Forgets all, where memory is short."""
        self._read.clear()

    def cache(self, prefixes: Sequence[tuple[int, ...]], room: int) -> tuple[RoomyCache, Tensor]:
        """A cache that holds one beginning a row, with room for more tokens, and its mask `[rows, longest]`.

        Args:
            prefixes: token ids, one a row; rows may be equal, or empty.
            room: tokens that will be added.
        """
        self._read_new(list(dict.fromkeys(prefix for prefix in prefixes if prefix and prefix not in self._read)))
        _, mask = left_padded(prefixes)
        width = mask.shape[1]
        cache = RoomyCache(self._model, width + room)
        if width:
            for number, layer in enumerate(cache.roomy):
                padded = [self._padded(prefix, number, width) for prefix in prefixes]
                layer.update(torch.stack([keys for keys, _ in padded]), torch.stack([values for _, values in padded]))
        for prefix in prefixes:
            if prefix:
                self._read.move_to_end(prefix)
        while len(self._read) > 1 and sum(map(len, self._read)) > self._held_tokens:
            self._read.popitem(last=False)
        return cache, mask.to(self._model.device)

    def _padded(self, prefix: tuple[int, ...], layer: int, width: int) -> tuple[Tensor, Tensor]:
        some = next(iter(self._read.values()))
        keys, values = self._read[prefix][layer] if prefix else (some[layer][0][:, :0], some[layer][1][:, :0])
        pad = (0, 0, width - len(prefix), 0)
        return torch.nn.functional.pad(keys, pad), torch.nn.functional.pad(values, pad)

    def _read_new(self, found: Sequence[tuple[int, ...]]) -> None:
        if not found:
            return
        ids, mask = (tensor.to(self._model.device) for tensor in left_padded(found))
        cache = RoomyCache(self._model, ids.shape[1])
        self._model.get_decoder()(
            input_ids=ids, attention_mask=mask, position_ids=(mask.cumsum(1) - 1).clamp(min=0), past_key_values=cache
        )
        layers = [layer.both() for layer in cache.roomy]
        for row, prefix in enumerate(found):
            start = ids.shape[1] - len(prefix)
            self._read[prefix] = [
                (keys[row, :, start:].clone(), values[row, :, start:].clone()) for keys, values in layers
            ]
