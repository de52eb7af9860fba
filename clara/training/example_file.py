"""Examples on disk: tokenized once, read by memory map, whatever their number."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, overload

import numpy

from clara.files import atomic_folder
from clara.training.examples import Example

TOKENS, TEXTS, PLACES = "tokens.npy", "texts.npy", "places.npy"


class ExampleFile(Sequence[Example]):
    """The examples in a folder, or some of them by number; one is made when it is asked for.

    `tokens.npy` holds the ids of all examples in turn (int32: prompt, target, then the texts to read), `texts.npy` a
    line of JSON for each (UTF-8), `places.npy` where each ends in both.
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

    def chosen(self, indices: Sequence[int]) -> "ExampleFile":
        """Some of these examples."""
        return ExampleFile(self.folder, numpy.asarray(self._numbers)[numpy.asarray(indices, dtype=numpy.int64)])


def on_disk(folder: Path, examples: Iterable[Example]) -> ExampleFile:
    """The examples of an earlier call with this folder; `examples` are gone through only where there was none."""
    if not (folder / PLACES).exists():
        with atomic_folder(folder) as temporary:
            _write(temporary, examples)
    return ExampleFile(folder)


def _write(folder: Path, examples: Iterable[Example]) -> None:
    places = [(0, 0)]
    with (folder / "tokens").open("wb") as tokens, (folder / "texts").open("wb") as texts:
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
            places.append((places[-1][0] + len(ids), places[-1][1] + len(line)))
    for name, kind in ((TOKENS, numpy.int32), (TEXTS, numpy.uint8)):
        plain = folder / name.removesuffix(".npy")
        values = numpy.memmap(plain, dtype=kind, mode="r") if plain.stat().st_size else numpy.empty(0, kind)
        numpy.save(folder / name, values)
        plain.unlink()
    numpy.save(folder / PLACES, numpy.array(places, dtype=numpy.int64))
