"""Examples on disk: tokenized once, read by memory map, whatever their number."""

import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, overload

import numpy
import torch
from torch import Tensor

from clara.folders import atomic_folder
from clara.training.example_arrays import GROUPS, LENGTHS, PLACES, SHORTENED, TEXTS, TOKENS, Shortened, write
from clara.training.examples import Example, Lost

FOLDER = "examples-"
"""How the names of the folders begin, in a stage's state folder."""
SALIENCE = "salience.npy"


class ExampleFile(Sequence[Example]):
    """The examples in a folder, or some of them by number; one is made when it is asked for.

    `tokens.npy` holds the ids of all examples in turn (int32: prompt, target, then the texts to read), `texts.npy` a
    line of JSON for each (UTF-8), `places.npy` where each ends in both, `salience.npy` weights of tokens (float32) or
    nothing. What is asked of all of them at once stands apart, since reading six million takes half an hour:
    `lengths.npy` the tokens of prompt and target, `groups.npy` the group by its place among the sorted names (int32),
    `shortened.json` what they have to do without.
    """

    def __init__(self, folder: Path, numbers: "range | numpy.ndarray[Any, Any] | None" = None) -> None:
        self.folder = folder
        self._tokens = numpy.load(folder / TOKENS, mmap_mode="r")
        self._texts = numpy.load(folder / TEXTS, mmap_mode="r")
        self._places = numpy.load(folder / PLACES, mmap_mode="r")
        self._lengths = numpy.load(folder / LENGTHS, mmap_mode="r")
        self._groups = numpy.load(folder / GROUPS, mmap_mode="r")
        self._numbers = range(len(self._places) - 1) if numbers is None else numbers

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> "ExampleFile": ...
    def __getitem__(self, index: int | slice) -> "Example | ExampleFile":
        if isinstance(index, slice):
            return ExampleFile(self.folder, self._numbers[index])
        number = int(self._numbers[index])
        (start, first), (stop, last) = self._places[number].tolist(), self._places[number + 1].tolist()
        content = json.loads(self._texts[first:last].tobytes())
        ids: list[int] = self._tokens[start:stop].tolist()
        parts = []
        for length in content.pop("lengths"):
            parts.append(ids[:length])
            ids = ids[length:]
        prompt, target, *read = parts
        documents, gold = tuple(content.pop("documents")), tuple(content.pop("gold"))
        return Example(
            documents=documents,
            prompt=prompt,
            target=target,
            gold=gold,
            read=tuple(read),
            lost=Lost(*content.pop("lost", ())),
            **content,
        )

    @property
    def lengths(self) -> "numpy.ndarray[Any, numpy.dtype[numpy.int32]]":
        """Of each example the tokens of its prompt and target."""
        found: numpy.ndarray[Any, numpy.dtype[numpy.int32]] = self._lengths[numpy.asarray(self._numbers)]
        return found

    @property
    def groups(self) -> list[int]:
        """Of each example the number of its group; they are sorted as the groups' names are."""
        found: list[int] = self._groups[numpy.asarray(self._numbers)].tolist()
        return found

    @property
    def shortened(self) -> Shortened:
        """What all examples of the folder have to do without."""
        return Shortened(**json.loads((self.folder / SHORTENED).read_text(encoding="utf-8")))

    @property
    def salience(self) -> Tensor | None:
        """Weights of tokens that were kept with the examples."""
        weights = numpy.load(self.folder / SALIENCE)
        return torch.from_numpy(weights) if len(weights) else None

    def chosen(self, indices: Sequence[int]) -> "ExampleFile":
        """Some of these examples."""
        return ExampleFile(self.folder, numpy.asarray(self._numbers)[numpy.asarray(indices, dtype=numpy.int64)])


def groups_of(examples: Sequence[Example]) -> Sequence[str] | Sequence[int]:
    """Names or numbers of the examples' groups; for those on disk none of them is read."""
    return examples.groups if isinstance(examples, ExampleFile) else [example.group for example in examples]


def whole(folder: Path) -> bool:
    """Whether the examples of a folder have all been written, by this version: it takes its name at the end."""
    return all((folder / name).exists() for name in (TOKENS, TEXTS, PLACES, LENGTHS, GROUPS, SHORTENED, SALIENCE))


def on_disk(
    folder: Path, examples: Iterable[Example], *, salience: Callable[[], Tensor | None] = lambda: None
) -> ExampleFile:
    """The examples of an earlier call with this folder; `examples` are gone through only where there was none.

    Args:
        folder: where they lie.
        examples: what to write.
        salience: gives the weights of tokens to keep with them, before anything is written.
    """
    if not whole(folder):
        weights = salience()
        with atomic_folder(folder, alone=True) as temporary:
            kept = torch.empty(0) if weights is None else weights.cpu()
            numpy.save(temporary / SALIENCE, kept.numpy())
            write(temporary, examples)
    return ExampleFile(folder)


def drop(state: Path) -> None:
    """Deletes all examples in a stage's state folder, those too that a kill left half written."""
    for folder in [*state.glob(f"{FOLDER}*"), *state.glob(f".{FOLDER}*")]:
        shutil.rmtree(folder, ignore_errors=True)  # NFS keeps what another process has open until it is closed
