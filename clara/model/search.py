"""Search over a whole store: exact cosine by streaming, or a small index first and exact cosine of its best."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from clara.errors import CheckpointError
from clara.files import atomic_path, sha256_file
from clara.model.scoring import cosine_scores
from clara.model.store import MemoryStore, mapped

INDEX = "index.safetensors"
WIDTH = 256
"""Numbers a document has in the index."""
RESCORED = 200
"""Best documents of the index whose exact score is taken."""
BLOCK = 1024
"""Stored documents scored together; bounds the memory of an exact search and of an index's build."""
INDEX_BLOCK = 65536
"""The same for rows of the index."""
SAMPLED = 2048
"""Documents that the index's directions are fitted to."""

Score = Callable[[Float[Tensor, "batch memory dim"], Float[Tensor, "batch candidates memory dim"]], Tensor]
"""Scores of each question's own candidates, such as `ClaraModel.scores`."""


class Found(NamedTuple):
    """The best documents of each question, best first."""

    rows: Int[Tensor, "questions k"]
    scores: Float[Tensor, "questions k"]


def exact(
    store: MemoryStore, questions: Float[Tensor, "questions memory dim"], *, k: int, score: Score = cosine_scores
) -> Found:
    """The k best of all documents by their exact score; the store is streamed, so its size costs time alone."""
    best = _none(len(questions))
    for first, block in store.blocks(BLOCK):
        # One question at a time only where a score needs all vectors; the cosine of all questions is one product.
        if score is cosine_scores:
            scores = _unit(questions.flatten(1)) @ _unit(block.flatten(1)).T
        else:
            scores = torch.cat([score(question[None], block[None]) for question in questions])
        best = _merge(best, scores, first, k)
    return best


def build_index(store: MemoryStore, *, width: int = WIDTH) -> Path:
    """Writes the index of a store beside it and gives its path.

    A document's row is its unit memory, flattened, less the mean of all, along the directions in which documents differ
    most (principal components of a sample): the best approximation of the exact cosine by so few numbers.
    """
    total = store.manifest.num_documents
    sample = sorted(set(torch.linspace(0, total - 1, min(total, SAMPLED)).round().long().tolist()))
    vectors = _unit(store.rows(sample).flatten(1))
    mean = vectors.mean(0)
    # Directions from the small Gram matrix: 2048² numbers, whatever the memory's size.
    values, left = torch.linalg.eigh((vectors - mean) @ (vectors - mean).T)
    keep = values.argsort(descending=True)[: min(width, len(sample))]
    directions = (vectors - mean).T @ left[:, keep] / values[keep].clamp(min=1e-9).sqrt()
    rows = torch.empty(total, directions.shape[1], dtype=torch.float16)
    for first, block in store.blocks(BLOCK):
        rows[first : first + len(block)] = ((_unit(block.flatten(1)) - mean) @ directions).half()
    path = store.folder / INDEX
    tensors = {"rows": rows, "directions": directions.contiguous(), "store": _name(store)}
    with atomic_path(path) as temporary:
        save_file(tensors, temporary)
    return path


class Index:
    """The small index of a store, mapped, not read.

    Args:
        store: the store, whose index was built.

    Raises:
        CheckpointError: there is no index, or it is of another state of the store.
    """

    def __init__(self, store: MemoryStore) -> None:
        path = store.folder / INDEX
        try:
            tensors = mapped(path)
            same = torch.equal(tensors["store"], _name(store))
        except (OSError, SafetensorError, KeyError) as error:
            raise CheckpointError(
                f"there is no usable index {path} ({error}); clara store index {store.folder}"
            ) from error
        if not same:
            raise CheckpointError(f"{path} is of another state of the store; run clara store index {store.folder}")
        self.store, self.rows, self.directions = store, tensors["rows"], tensors["directions"]

    def search(
        self,
        questions: Float[Tensor, "questions memory dim"],
        *,
        k: int,
        rescored: int = RESCORED,
        score: Score = cosine_scores,
    ) -> Found:
        """The k best by exact score among the `rescored` best of the index."""
        near = _none(len(questions))
        # The mean of the documents moves all scores of a question alike.
        wanted = _unit(questions.flatten(1)) @ self.directions
        for first in range(0, len(self.rows), INDEX_BLOCK):
            near = _merge(near, wanted @ self.rows[first : first + INDEX_BLOCK].float().T, first, max(k, rescored))
        found = [self._rescored(question, rows, k, score) for question, rows in zip(questions, near.rows, strict=True)]
        return Found(torch.stack([rows for rows, _ in found]), torch.stack([scores for _, scores in found]))

    def _rescored(self, question: Tensor, rows: Tensor, k: int, score: Score) -> Found:
        rows = rows.sort().values  # among equals the first, as in an exact search; and the disk is read in order
        scores = score(question[None], self.store.rows(rows.tolist())[None])
        best = _merge(_none(1), scores, 0, k)
        return Found(rows[best.rows[0]], best.scores[0])


def _none(questions: int) -> Found:
    return Found(torch.empty(questions, 0, dtype=torch.long), torch.empty(questions, 0))


def _merge(best: Found, scores: Tensor, first: int, k: int) -> Found:
    """The k best of what was found and of a block that begins at document `first`; among equals the first."""
    if scores.shape[1] > 4 * k:
        order = scores.topk(k, dim=-1).indices.sort(dim=-1).values
    else:
        order = torch.arange(scores.shape[1]).expand(len(scores), -1)
    rows = torch.cat([best.rows, order + first], dim=1)
    values = torch.cat([best.scores, scores.gather(1, order)], dim=1)
    chosen = torch.sort(values, dim=-1, descending=True, stable=True).indices[:, :k]
    return Found(rows.gather(1, chosen), values.gather(1, chosen))


def _unit(vectors: Tensor) -> Tensor:
    return torch.nn.functional.normalize(vectors.float(), dim=-1, eps=1e-12)


def _name(store: MemoryStore) -> Tensor:
    """SHA-256 of the manifest, which names the hash of every file, as a tensor that an index can hold."""
    return torch.tensor(list(bytes.fromhex(sha256_file(store.path))), dtype=torch.uint8)
