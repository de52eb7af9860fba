"""Exact search over a whole store by scores that are no plain cosine: late interaction, or documents behind a map."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from clara.model.clara import MAP_SCALE, ClaraModel
from clara.model.search import Found, in_blocks, streamed
from clara.model.store import MemoryStore

NOTHING = 1e-5
"""Length of a vector less the centre, by the centre's, up to which it is taken for rounding of float32 sums."""


class StoreSearch:
    """`ClaraModel.scores` of all documents of a store, at the cost of one product with each block of it.

    What does not depend on the question is kept: the lengths of all vectors less the centre, 4 bytes each, taken in one
    pass over the store. Behind a map of documents a vector d is c + (d - c) M with M = 1 + 5 W, and its product with a
    question's vector q is that of d - c with M q: the question is turned instead, and lengths are those of (d - c) M.

    Args:
        model: its form of score and its map of documents, if it has one, are used.
        store: what is searched.
    """

    def __init__(self, model: ClaraModel, store: MemoryStore) -> None:
        self.flattened = model.shape.score == "flattened"
        self.centre = model.centre.float().cpu()
        self.matrix: Tensor | None = None
        if model.document_map is not None:
            update = MAP_SCALE * model.document_map.detach().float().cpu()
            self.matrix = torch.eye(len(update)) + update
        self.lengths = torch.cat([self._lengths(block) for _, block in in_blocks(store)])

    def search(self, store: MemoryStore, questions: Float[Tensor, "questions memory dim"], *, k: int) -> Found:
        """The k best of all documents of the same store; `questions` are on the host."""
        return streamed(store, len(questions), k=k, scores=self._scores(questions.float()))

    def _lengths(self, block: Tensor) -> Tensor:
        """Of each document where its vectors are compared as one, else of each of its vectors less the centre."""
        turned = block.float() - self.centre
        turned = turned if self.matrix is None else turned @ self.matrix
        lengths: Tensor = (turned + self.centre).flatten(1).norm(dim=1) if self.flattened else turned.norm(dim=-1)
        # What is the centre but for rounding has no direction: it scores 0, as in `late_interaction_scores`.
        # Its product is the difference of two equal sums, which over a length of nothing would be the best score.
        return lengths.masked_fill(lengths <= NOTHING * self.centre.norm(), torch.inf)

    def _scores(self, questions: Tensor) -> Callable[[int, Tensor], Tensor]:
        apart = questions if self.flattened else questions - self.centre
        sides = apart.flatten(1) if self.flattened else apart
        wanted = torch.nn.functional.normalize(sides, dim=-1, eps=1e-12).view_as(apart)
        turned = wanted if self.matrix is None else wanted @ self.matrix.T
        # Of (d - c) M q the part with c is the same for all documents, so d is taken as it is stored.
        constant = turned @ self.centre
        whole = ((wanted @ self.centre) - constant).sum(1, keepdim=True)

        def flattened(first: int, block: Tensor) -> Tensor:
            products = turned.flatten(1) @ block.float().flatten(1).T
            return (products + whole) / self.lengths[first : first + len(block)]

        def late(first: int, block: Tensor) -> Tensor:
            vectors, lengths = block.float(), self.lengths[first : first + len(block), :, None]
            parts = zip(turned, constant, strict=True)
            return torch.stack([((vectors @ query.T - off) / lengths).amax(1).mean(1) for query, off in parts])

        return flattened if self.flattened else late
