"""How the memories of a question and of a document are compared: the paper's cosine, or late interaction."""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

ScoreForm = Literal["flattened", "late_interaction"]


def cosine_scores(
    questions: Float[Tensor, "batch memory dim"],
    candidates: Float[Tensor, "batch candidates memory dim"],
    valid: Bool[Tensor, "batch candidates"] | None = None,
) -> Float[Tensor, "batch candidates"]:
    """Cosine of flattened memories (eq. 3.1), float32; absent candidates (`valid` false) score 0."""
    question, candidate = _unit(questions.flatten(1)), _unit(candidates.flatten(2))
    with torch.autocast(question.device.type, enabled=False):  # in half precision near documents would tie
        scores = torch.einsum("bd,bnd->bn", question, candidate)
    return scores if valid is None else scores.where(valid, 0.0)


def late_interaction_scores(
    questions: Float[Tensor, "batch queries dim"],
    candidates: Float[Tensor, "batch candidates memory dim"],
    centre: Float[Tensor, " dim"],
    valid: Bool[Tensor, "batch candidates"] | None = None,
) -> Float[Tensor, "batch candidates"]:
    """Mean over a question's vectors of the best cosine with one of the document's, float32.

    This is the late interaction of ColBERT (Khattab and Zaharia 2020). The flattened cosine compares the question's
    j-th vector with the document's j-th alone: in the pooled form, the j-th sixteenth of one text with that of the
    other. Here every vector of the question finds its own partner.

    Args:
        questions: the query reasoner's vectors.
        candidates: the compressor's vectors, of each question's own candidates.
        centre: taken from every vector first: what all of them share would make all alike.
        valid: false where a candidate is absent; it scores 0.
    """
    question, candidate = _unit(questions.float() - centre), _unit(candidates.float() - centre)
    with torch.autocast(question.device.type, enabled=False):
        scores = torch.einsum("bqd,bnmd->bnqm", question, candidate).amax(-1).mean(-1)
    return scores if valid is None else scores.where(valid, 0.0)


def pad_pools(
    memories: Float[Tensor, "documents memory dim"], sizes: Sequence[int]
) -> tuple[Float[Tensor, "batch candidates memory dim"], Bool[Tensor, "batch candidates"]]:
    """Pools of these sizes, whose documents lie one pool after the other, as one tensor, and where it holds any.

    On a device what is real travels alone, and the places of it are found on the host.
    """
    valid = torch.arange(max(sizes)) < torch.tensor(sizes)[:, None]
    places = valid.flatten().nonzero()[:, 0].to(memories.device, non_blocking=True)
    padded = memories.new_zeros(valid.numel(), *memories.shape[1:]).index_copy(0, places, memories)
    return padded.view(*valid.shape, *memories.shape[1:]), valid.to(memories.device, non_blocking=True)


def _unit(vectors: Tensor) -> Tensor:
    return nn.functional.normalize(vectors.float(), dim=-1, eps=1e-12)
