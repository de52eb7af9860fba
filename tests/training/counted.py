"""Rows that tell how many of them are alive, and a process that is not the main one."""

from collections.abc import Iterator, Sequence
from typing import Any
from weakref import WeakSet

import torch

from clara.records import Pair, Question, Record


class Counted:
    """Rows made anew each time that one goes through them, and how many are alive."""

    def __init__(self, rows: Sequence[Record]) -> None:
        self.rows, self.alive, self.most, self.passes = rows, WeakSet[Any](), 0, 0

    def __iter__(self) -> Iterator[Any]:
        self.passes += 1
        for row in self.rows:
            made = (_Question if isinstance(row, Question) else _Pair)(**row.model_dump())
            self.alive.add(made)
            self.most = max(self.most, len(self.alive))
            yield made
            del made


class _Pair(Pair):
    __hash__ = object.__hash__  # a set of them goes by identity


class _Question(Question):
    __hash__ = object.__hash__


class Second:
    """The place of the second of two processes that no other will ever answer."""

    process_index, num_processes, device, is_main_process = 1, 2, torch.device("cpu"), False
