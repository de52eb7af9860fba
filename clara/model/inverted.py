"""The inverted index of a large store; the only module that knows FAISS.

The rows of the small index lie in lists by their nearest centre, and a search reads the lists of the nearest centres
alone: its time grows with the square root of the store. The file is mapped, not read.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
from jaxtyping import Float, Int
from torch import Tensor, from_numpy

from clara.errors import CheckpointError
from clara.files import atomic_path

FILE = "index.faiss"
LISTS_PER_ROOT = 4
"""Lists, in units of the square root of the number of documents."""
TRAINED_ON = 40
"""Rows a list that the centres are fitted to."""
PROBED = 1 / 8
"""Share of the lists that a search reads."""


class Inverted:
    """The lists of a store's small vectors.

    Args:
        path: the file.

    Raises:
        CheckpointError: there is none, or it is damaged.
    """

    def __init__(self, path: Path) -> None:
        import faiss

        read: Any = faiss.read_index
        try:
            self._index = read(str(path), faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY)
        except RuntimeError as error:
            raise CheckpointError(f"{path} is no readable index ({error}); make it again") from error
        self.num_lists = int(self._index.nlist)
        self.probed = max(1, math.ceil(self.num_lists * PROBED))

    def search(
        self, vectors: Float[Tensor, "questions width"], k: int, *, least: int = 1
    ) -> list[Int[Tensor, " found"]]:
        """Numbers of the k documents of greatest inner product in the lists that are read, for each question by itself.

        Args:
            vectors: of the questions.
            k: documents at most; fewer where the lists hold fewer.
            least: documents at least, if there are so many: a question whose lists hold fewer reads more lists.
        """
        found = self._read(vectors, k, self.probed)
        for question, rows in enumerate(found):
            probed = self.probed
            while len(rows) < least and probed < self.num_lists:
                probed = min(2 * probed, self.num_lists)
                (rows,) = self._read(vectors[question : question + 1], k, probed)
            found[question] = rows
        return found

    def _read(self, vectors: Tensor, k: int, probed: int) -> list[Tensor]:
        self._index.nprobe = probed
        _, rows = self._index.search(numpy.ascontiguousarray(vectors.float().cpu().numpy()), k)
        return [from_numpy(found[found >= 0]) for found in rows]  # FAISS fills up with -1


def write(
    path: Path, blocks: Iterator[Float[Tensor, "rows width"]], sample: Float[Tensor, "rows width"], total: int
) -> None:
    """Writes the lists of `total` rows, which come in blocks in the order of the documents, in half precision.

    Args:
        path: the file.
        blocks: all rows.
        sample: rows that the centres are fitted to.
        total: number of all rows.
    """
    import faiss

    width = sample.shape[1]
    lists = max(1, min(round(LISTS_PER_ROOT * math.sqrt(total)), len(sample) // TRAINED_ON))
    centres = faiss.IndexFlatIP(width)
    index = faiss.IndexIVFScalarQuantizer(
        centres, width, lists, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    )
    index.cp.seed, index.cp.min_points_per_centroid = 0, 1
    index.train(numpy.ascontiguousarray(sample.float().numpy()))
    for block in blocks:
        index.add(numpy.ascontiguousarray(block.float().numpy()))
    with atomic_path(path) as temporary:
        faiss.write_index(index, str(temporary))
