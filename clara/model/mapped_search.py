"""Search over a whole store for a query reasoner that turns documents before it compares them."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from clara.model.clara import MAP_SCALE, ClaraModel
from clara.model.search import Found, in_blocks, streamed
from clara.model.store import MemoryStore


class MappedSearch:
    """Exact scores of all documents behind the documents' map, at the cost of a search without one.

    Behind the map a vector d is c + (d - c) M with M = 1 + 5 W, and its product with a question's vector q is that of
    d - c with M q: the question is turned instead. Lengths alone need every vector's product with M. They are taken in
    one pass over the store, 4 bytes a vector, and kept.

    Args:
        model: its query reasoner has a map of documents.
        store: what is searched.
    """

    def __init__(self, model: ClaraModel, store: MemoryStore) -> None:
        assert model.document_map is not None
        self.flattened = model.shape.score == "flattened"
        self.centre = model.centre.float().cpu()
        matrix = model.document_map.detach().float().cpu()
        self.matrix = torch.eye(len(matrix)) + MAP_SCALE * matrix
        self.lengths = torch.cat([self._lengths(block) for _, block in in_blocks(store)])

    def search(self, store: MemoryStore, questions: Float[Tensor, "questions memory dim"], *, k: int) -> Found:
        """The k best of all documents of the same store by `ClaraModel.scores`; `questions` are on the host."""
        return streamed(store, len(questions), k=k, scores=self._scores(questions.float()))

    def _lengths(self, block: Tensor) -> Tensor:
        """Of each document where its vectors are compared as one, else of each of its vectors less the centre."""
        turned = (block.float() - self.centre) @ self.matrix
        lengths: Tensor = (turned + self.centre).flatten(1).norm(dim=1) if self.flattened else turned.norm(dim=-1)
        return lengths.clamp(min=1e-12)

    def _scores(self, questions: Tensor) -> Callable[[int, Tensor], Tensor]:
        apart = questions if self.flattened else questions - self.centre
        sides = apart.flatten(1) if self.flattened else apart
        wanted = torch.nn.functional.normalize(sides, dim=-1, eps=1e-12).view_as(apart)
        turned = wanted @ self.matrix.T
        constant = (wanted @ self.centre).sum(1, keepdim=True)

        def flattened(first: int, block: Tensor) -> Tensor:
            products = turned.flatten(1) @ (block.float() - self.centre).flatten(1).T
            return (products + constant) / self.lengths[first : first + len(block)]

        def late(first: int, block: Tensor) -> Tensor:
            scaled = (block.float() - self.centre) / self.lengths[first : first + len(block), :, None]
            return torch.stack([(scaled @ question.T).amax(1).mean(1) for question in turned])

        return flattened if self.flattened else late
