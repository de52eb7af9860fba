"""Writing examples to disk: files of which each is one array, appended to as examples come."""

import json
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy

from clara.training.examples import Example

TOKENS, TEXTS, PLACES = "tokens.npy", "texts.npy", "places.npy"
LENGTHS, GROUPS = "lengths.npy", "groups.npy"
SHORTENED = "shortened.json"


class Shortened(NamedTuple):
    """What all examples together have to do without, since the settings bound their lengths."""

    examples: int = 0
    read: int = 0
    """Texts that the examples read; one that several read counts for each."""
    texts: int = 0
    """Those of them without their end."""
    targets: int = 0
    """Targets without their end, or without pairs."""
    pairs: int = 0
    """Pairs of lists that are left out whole."""

    def sentence(self, read: str) -> str:
        """One line for people, who may name the texts."""
        return (
            f"its {self.examples} examples read {self.read} {read}, of which {self.texts} are longer than "
            f"memory.document_max_tokens and lose their ends; of their targets {self.targets} are longer than "
            f"max_target_tokens and are shortened, lists by {self.pairs} whole pairs"
        )


def write(folder: Path, examples: Iterable[Example]) -> None:
    """Writes what `ExampleFile` reads; besides the names of the groups it holds some thirty bytes an example."""
    ends, lengths, members = array("q", (0, 0)), array("i"), array("i")
    groups: dict[str, int] = {}
    read, lost = 0, Counter[str]()
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
            } | ({"lost": example.lost} if any(example.lost) else {})
            ids = numpy.array([token for part in parts for token in part], dtype=numpy.int32)
            line = json.dumps(content, ensure_ascii=False).encode() + b"\n"
            tokens.write(ids.tobytes())
            texts.write(line)
            ends.extend((ends[-2] + len(ids), ends[-1] + len(line)))
            lengths.append(len(example.prompt) + len(example.target))
            read += len(example.read)
            lost.update(example.lost._asdict())
            members.append(groups.setdefault(example.group, len(groups)))
    numpy.save(folder / PLACES, numpy.array(ends).reshape(-1, 2))
    shortened = Shortened(len(lengths), read, lost["texts"], lost["target"], lost["pairs"])
    (folder / SHORTENED).write_text(json.dumps(shortened._asdict()), encoding="utf-8")
    numpy.save(folder / LENGTHS, numpy.array(lengths))
    numpy.save(folder / GROUPS, _ranks(groups)[numpy.array(members)])


def _ranks(groups: dict[str, int]) -> "numpy.ndarray[Any, numpy.dtype[numpy.int32]]":
    """Of each number of a group its place when their names are sorted, by which some are held out."""
    ranks = numpy.empty(len(groups), dtype=numpy.int32)
    ranks[[groups[name] for name in sorted(groups)]] = numpy.arange(len(groups))
    return ranks


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
