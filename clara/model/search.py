"""Search over a whole store: exact cosine by streaming, or a small index first and exact cosine of its best."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from clara.errors import CheckpointError, ResourceError
from clara.files import atomic_path, sha256_file
from clara.model import inverted
from clara.model.scoring import cosine_scores
from clara.model.store import MemoryStore, mapped

INDEX = "index.safetensors"
WIDTH = 256
"""Numbers a document has in the index."""
RESCORED = 200
"""Best documents of the index whose exact score is taken."""
SEARCH_BYTES, BUILD_BYTES = 4 * 2**20, 64 * 2**20
"""Memories taken at once, as float32: what a processor's cache holds for a search, more for the build of an index."""
INDEX_BLOCK = 65536
"""Rows of the index among which the best are looked for at once."""
ROWS_AT_ONCE = 2048
"""Rows of the index that are made float32 at once: the cache holds them until they are compared."""
LISTS_FROM = 2_000_000
"""Documents from which on an index has lists by itself: the scan of fewer is fast enough and misses nothing."""
FITTED = 400_000
"""Documents at most that the lists' centres are fitted to."""
SAMPLED = 2048
"""Documents that the index's directions are fitted to."""

IndexKind = Literal["scan", "lists"]
INDEX_KINDS: tuple[IndexKind, ...] = ("scan", "lists")


class Found(NamedTuple):
    """The best documents of each question, best first."""

    rows: Int[Tensor, "questions k"]
    scores: Float[Tensor, "questions k"]


def exact(store: MemoryStore, questions: Float[Tensor, "questions memory dim"], *, k: int) -> Found:
    """The k best of all documents by the cosine of flattened memories; a larger store costs time, not memory."""
    wanted = _unit(questions.flatten(1))

    def scores(_: int, block: Tensor) -> Tensor:
        flat = block.flatten(1).float()
        cosines: Tensor = wanted @ flat.T / flat.norm(dim=1).clamp(min=1e-12)
        return cosines

    return streamed(store, len(questions), k=k, scores=scores)


def streamed(store: MemoryStore, questions: int, *, k: int, scores: Callable[[int, Tensor], Tensor]) -> Found:
    """The k best of all documents; `scores` takes the number of a block's first and the block, for all questions."""
    best = _none(questions)
    for first, block in in_blocks(store):
        best = _merge(best, scores(first, block), first, k)
    return best


def in_blocks(store: MemoryStore) -> Iterator[tuple[int, Float[Tensor, "documents memory dim"]]]:
    """All memories in turn, each block after the number of its first, as many at once as a processor's cache holds."""
    return store.blocks(_documents(store, SEARCH_BYTES))


def build_index(store: MemoryStore, *, width: int = WIDTH, kind: IndexKind | None = None) -> Path:
    """Writes the index of a store beside it and gives the path of its rows.

    A document's row is its unit memory, flattened, less the mean of all, along the directions in which documents differ
    most (principal components of a sample): the best approximation of the exact cosine by so few numbers.

    Args:
        store: the store.
        width: numbers a row.
        kind: `scan`: a search goes through all rows; `lists`: they lie in FAISS's inverted lists, of which a search
            reads a few. None: lists from LISTS_FROM documents on.
    """
    total = store.manifest.num_documents
    kind = kind or ("lists" if total >= LISTS_FROM else "scan")
    sample = sorted(set(torch.linspace(0, total - 1, min(total, SAMPLED)).round().long().tolist()))
    vectors = _unit(store.rows(sample).flatten(1))
    mean = vectors.mean(0)
    # Directions from the small Gram matrix: 2048² numbers, whatever the memory's size.
    values, left = torch.linalg.eigh((vectors - mean) @ (vectors - mean).T)
    keep = values.argsort(descending=True)[: min(width, len(sample))]
    directions = (vectors - mean).T @ left[:, keep] / values[keep].clamp(min=1e-9).sqrt()
    rows = torch.empty(total, directions.shape[1], dtype=torch.float16)
    for first, block in store.blocks(_documents(store, BUILD_BYTES)):
        rows[first : first + len(block)] = ((_unit(block.flatten(1)) - mean) @ directions).half()
    path, lists = store.folder / INDEX, store.folder / inverted.FILE
    path.unlink(missing_ok=True)
    tensors = {"directions": directions.contiguous(), "store": _name(store)}
    if kind == "lists":
        sampled = rows[torch.linspace(0, total - 1, min(total, FITTED), dtype=torch.float64).round().long()]
        inverted.write(lists, iter(torch.split(rows, INDEX_BLOCK)), sampled, total)
    else:
        lists.unlink(missing_ok=True)
        tensors["rows"] = rows
    with atomic_path(path) as temporary:
        save_file(tensors, temporary)
    return lists if kind == "lists" else path


def rebuild_index(previous: MemoryStore, store: MemoryStore) -> Path:
    """Gives a store an index of the kind and width that the one it came from had."""
    try:
        tensors = mapped(previous.folder / INDEX)
        width = tensors["directions"].shape[1]
    except (OSError, SafetensorError, KeyError):  # damaged: nothing was found by it
        return build_index(store)
    kind: IndexKind = "scan" if "rows" in tensors else "lists"
    if width == min(previous.manifest.num_documents, SAMPLED):  # it was narrower only for want of documents
        width = max(width, WIDTH)
    return build_index(store, width=width, kind=kind)


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
        except PermissionError as error:
            raise ResourceError(f"the index {path} may not be read ({error}); allow it and run again") from error
        except (OSError, SafetensorError, KeyError) as error:
            raise CheckpointError(
                f"there is no usable index {path} ({error}); clara store index {store.folder}"
            ) from error
        if not same:
            raise CheckpointError(f"{path} is of another state of the store; run clara store index {store.folder}")
        self.store, self.directions = store, tensors["directions"]
        self.rows = tensors.get("rows")
        self.lists = inverted.Inverted(store.folder / inverted.FILE) if self.rows is None else None

    def search(
        self,
        questions: Float[Tensor, "questions memory dim"],
        *,
        k: int,
        rescored: int = RESCORED,
    ) -> Found:
        """The k best by exact score among the `rescored` best of the index."""
        # The mean of the documents moves all scores of a question alike.
        near = self._near(_unit(questions.flatten(1)) @ self.directions, max(k, rescored), k)
        found = [self._rescored(question, rows, k) for question, rows in zip(questions, near, strict=True)]
        return Found(torch.stack([rows for rows, _ in found]), torch.stack([scores for _, scores in found]))

    def _near(self, wanted: Float[Tensor, "questions width"], count: int, least: int) -> Sequence[Tensor]:
        """Rows near each question, `count` of them; of lists that hold fewer at least `least`, if there are so many."""
        if self.lists is not None:
            return self.lists.search(wanted, count, least=least)
        assert self.rows is not None
        near = _none(len(wanted))
        for first in range(0, len(self.rows), INDEX_BLOCK):
            parts = torch.split(self.rows[first : first + INDEX_BLOCK], ROWS_AT_ONCE)
            near = _merge(near, torch.cat([wanted @ part.float().T for part in parts], dim=1), first, count)
        return list(near.rows)

    def _rescored(self, question: Tensor, rows: Tensor, k: int) -> Found:
        rows = rows.sort().values  # among equals the first, as in an exact search; and the disk is read in order
        scores = cosine_scores(question[None], self.store.rows(rows.tolist())[None])
        best = _merge(_none(1), scores, 0, k)
        return Found(rows[best.rows[0]], best.scores[0])


def _documents(store: MemoryStore, size: int) -> int:
    """Documents whose memories take so many bytes as float32, at least one."""
    return max(1, size // (4 * store.manifest.num_memory * store.manifest.dim))


def _none(questions: int) -> Found:
    return Found(torch.empty(questions, 0, dtype=torch.long), torch.empty(questions, 0))


def _merge(best: Found, scores: Tensor, first: int, k: int) -> Found:
    """The k best of what was found and of a block that begins at document `first`; among equals the first."""
    if scores.shape[1] > 4 * k:
        top = scores.topk(k + 1, dim=-1)
        order = top.indices[:, :k].sort(dim=-1).values
        tied = (top.values[:, k - 1] == top.values[:, k]).nonzero()[:, 0]  # there topk takes any of the equals
        if len(tied):
            best_first = torch.sort(scores[tied], dim=-1, descending=True, stable=True).indices[:, :k]
            order[tied] = best_first.sort(dim=-1).values
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
