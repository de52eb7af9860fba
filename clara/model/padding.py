"""Rows of token ids of different lengths as one batch, on the host."""

from collections.abc import Sequence

import torch
from jaxtyping import Int
from torch import Tensor


def left_padded(rows: Sequence[Sequence[int]]) -> tuple[Int[Tensor, "rows longest"], Int[Tensor, "rows longest"]]:
    """Ids and mask of rows to be continued: every row ends in the last column; padding is 0 in both."""
    width = max(map(len, rows))
    ids = [[0] * (width - len(row)) + list(row) for row in rows]
    mask = [[0] * (width - len(row)) + [1] * len(row) for row in rows]
    return torch.tensor(ids, dtype=torch.long), torch.tensor(mask, dtype=torch.long)  # of empty rows, too


def right_padded(rows: Sequence[Sequence[int]]) -> Int[Tensor, "rows longest"]:
    """Ids of rows that begin in the first column; padding is 0."""
    width = max(map(len, rows))
    return torch.tensor([list(row) + [0] * (width - len(row)) for row in rows], dtype=torch.long)
