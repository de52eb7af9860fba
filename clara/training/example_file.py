"""Examples on disk: tokenized once, read by memory map, whatever their number."""

import json
import shutil
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, overload

import numpy
import torch
from torch import Tensor

from clara.folders import atomic_folder
from clara.training.examples import Example

FOLDER = "examples-"
"""How the names of the folders begin, in a stage's state folder."""
TOKENS, TEXTS, PLACES, SALIENCE = "tokens.npy", "texts.npy", "places.npy", "salience.npy"


class ExampleFile(Sequence[Example]):
    """The examples in a folder, or some of them by number; one is made when it is asked for.

    `tokens.npy` holds the ids of all examples in turn (int32: prompt, target, then the texts to read), `texts.npy` a
    line of JSON for each (UTF-8), `places.npy` where each ends in both, `salience.npy` weights of tokens (float32) or
    nothing.
    """

    def __init__(self, folder: Path, numbers: "range | numpy.ndarray[Any, Any] | None" = None) -> None:
        self.folder = folder
        self._tokens = numpy.load(folder / TOKENS, mmap_mode="r")
        self._texts = numpy.load(folder / TEXTS, mmap_mode="r")
        self._places = numpy.load(folder / PLACES, mmap_mode="r")
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
        return Example(documents=documents, prompt=prompt, target=target, gold=gold, read=tuple(read), **content)

    @property
    def salience(self) -> Tensor | None:
        """Weights of tokens that were kept with the examples."""
        weights = numpy.load(self.folder / SALIENCE)
        return torch.from_numpy(weights) if len(weights) else None

    def chosen(self, indices: Sequence[int]) -> "ExampleFile":
        """Some of these examples."""
        return ExampleFile(self.folder, numpy.asarray(self._numbers)[numpy.asarray(indices, dtype=numpy.int64)])


def whole(folder: Path) -> bool:
    """Whether the examples of a folder have all been written: it takes its name at the end."""
    return all((folder / name).exists() for name in (TOKENS, TEXTS, PLACES, SALIENCE))


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
            _write(temporary, examples)
    return ExampleFile(folder)


def drop(state: Path) -> None:
    """Deletes all examples in a stage's state folder, those too that a kill left half written."""
    for folder in [*state.glob(f"{FOLDER}*"), *state.glob(f".{FOLDER}*")]:
        shutil.rmtree(folder, ignore_errors=True)  # NFS keeps what another process has open until it is closed


def _write(folder: Path, examples: Iterable[Example]) -> None:
    ends = array("q", (0, 0))  # sixteen bytes an example
    with (
        _array(folder / TOKENS, numpy.dtype(numpy.int32)) as tokens,
        _array(folder / TEXTS, numpy.dtype(numpy.uint8)) as texts,
    ):
        for example in examples:
            parts = [example.prompt, example.target, *example.read]
            content = {
                "key": example.key,
                "group": example.group,
                "documents": example.documents,
                "question": example.question,
                "gold": example.gold,
                "lengths": [len(part) for part in parts],
            }
            ids = numpy.array([token for part in parts for token in part], dtype=numpy.int32)
            line = json.dumps(content, ensure_ascii=False).encode() + b"\n"
            tokens.write(ids.tobytes())
            texts.write(line)
            ends.extend((ends[-2] + len(ids), ends[-1] + len(line)))
    numpy.save(folder / PLACES, numpy.array(ends).reshape(-1, 2))


@contextmanager
def _array(path: Path, kind: "numpy.dtype[Any]") -> Iterator[BinaryIO]:
    """A file whose values, written one after the other, become the array that `numpy.load` gives.

    A copy with the right header would take the disk twice. numpy leaves room in a header for the number to grow.
    """
    with path.open("wb") as file:
        _header(file, kind, 0)
        start = file.tell()
        yield file
        count = (file.tell() - start) // kind.itemsize
        file.seek(0)
        _header(file, kind, count)
        assert file.tell() == start


def _header(file: BinaryIO, kind: "numpy.dtype[Any]", count: int) -> None:
    layout: Any = numpy.lib.format  # without types
    content = {"descr": layout.dtype_to_descr(kind), "fortran_order": False, "shape": (count,)}
    layout.write_array_header_1_0(file, content)
