"""A batch of prompts and the replies to them, token by token."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

import torch
from torch import Tensor

from clara.model.padding import left_padded
from clara.synthesis.engine import Sampling
from clara.synthesis.prefixes import Prefixes

KEPT_SHARE = 0.75
"""Rows of a batch that go on, below which the others are taken out; that copies the cache, about one step's time."""


@dataclass
class Row:
    """A request in tokens, and its reply so far."""

    key: str
    prefix: tuple[int, ...]
    """Beginning of the prompt that other requests share."""
    rest: list[int]
    """The others, at least one."""
    sampling: Sampling
    allowed: list[list[int]] = field(default_factory=list)
    """Token ids of each choice, end of turn included; empty when the reply is free."""
    reply: list[int] = field(default_factory=list)

    @property
    def prompt_tokens(self) -> int:
        """Of the whole prompt."""
        return len(self.prefix) + len(self.rest)

    @property
    def room(self) -> int:
        """Tokens that the reply may take."""
        return max([self.sampling.max_tokens, *map(len, self.allowed)])

    def agreed(self) -> list[int]:
        """What all choices begin with: it need not be chosen, and is read with the prompt."""
        columns = zip(*self.allowed, strict=False)
        return [column[0] for column in takewhile(lambda column: len(set(column)) == 1, columns)]

    def add(self, token: int) -> None:
        """Goes on with a token; once one choice is left, with all of it."""
        self.reply.append(token)
        left = [choice for choice in self.allowed if choice[: len(self.reply)] == self.reply]
        if len(left) == 1:
            self.reply = list(left[0])

    def ended(self, ends: set[int]) -> bool:
        """Whether the reply is whole, or as long as it may be; a choice is always whole."""
        if self.allowed:
            return self.reply in self.allowed
        return bool(self.reply) and (self.reply[-1] in ends or len(self.reply) >= self.sampling.max_tokens)


@torch.inference_mode()
def decode(model: Any, prefixes: Prefixes, rows: Sequence[Row], ends: set[int]) -> None:
    """Fills in the replies; none depends on which rows are together but by rounding.

    Args:
        model: the causal language model.
        prefixes: keys and values of the rows' beginnings.
        rows: at least one.
        ends: tokens that end a turn.
    """
    for row in rows:
        row.reply = row.agreed()
    open_rows = [row for row in rows if not row.ended(ends)]
    if not open_rows:
        return
    draws = {row.key: torch.Generator().manual_seed(row.sampling.seed) for row in open_rows}
    padded = left_padded([row.rest + row.reply for row in open_rows])
    tokens, mask = (tensor.to(model.device) for tensor in padded)
    room = tokens.shape[1] + max(row.room for row in open_rows)
    cache, seen = prefixes.cache([row.prefix for row in open_rows], room)
    mask = torch.cat([seen, mask], dim=1)
    positions = (mask.cumsum(1) - 1).clamp(min=0)[:, -tokens.shape[1] :]
    batch = open_rows
    while True:
        given = {"input_ids": tokens, "attention_mask": mask, "position_ids": positions, "past_key_values": cache}
        logits = model(**given, logits_to_keep=1).logits[:, -1].float()
        likeliest = logits.argmax(1).tolist()
        scores = logits.cpu()
        for number, row in enumerate(batch):
            if not row.ended(ends):
                free = row.sampling.temperature == 0 and not row.allowed
                row.add(likeliest[number] if free else _draw(scores[number], row, draws[row.key]))
        open_rows = [row for row in batch if not row.ended(ends)]
        if not open_rows:
            return
        positions = positions[:, -1:] + 1
        mask = torch.cat([mask, mask.new_ones(len(batch), 1)], dim=1)
        if len(open_rows) <= KEPT_SHARE * len(batch):
            left = torch.tensor([n for n, row in enumerate(batch) if not row.ended(ends)], device=model.device)
            cache.keep(left)
            batch, mask, positions = open_rows, mask[left], positions[left]
        tokens = torch.tensor([[row.reply[-1]] for row in batch], device=model.device)


def _draw(logits: Tensor, row: Row, generator: torch.Generator) -> int:
    """The next token of one row: the likeliest at temperature 0, else one drawn from the nucleus."""
    if row.allowed:
        count = len(row.reply)
        going = sorted({choice[count] for choice in row.allowed if choice[:count] == row.reply})
        closed = torch.full_like(logits, float("-inf"))
        closed[going] = logits[going]
        logits = closed
    sampling = row.sampling
    if sampling.temperature == 0:
        return int(logits.argmax())
    probabilities, order = torch.softmax(logits / sampling.temperature, dim=-1).sort(descending=True, stable=True)
    # A token stays while those before it hold less than top_p; the first one always stays.
    probabilities[probabilities.cumsum(0) - probabilities >= sampling.top_p] = 0
    return int(order[torch.multinomial(probabilities, 1, generator=generator)])
