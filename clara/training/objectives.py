"""The three objectives: from a batch to loss sums. Each says which roles learn."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

import torch
from jaxtyping import Float
from torch import Tensor, nn

from clara.losses import alignment_losses
from clara.model.adapters import COMPRESSOR, QUERY_REASONER
from clara.model.clara import ClaraModel, cosine_scores
from clara.model.topk import SelectionForm, gather_selected, gumbel_noise, top_k
from clara.training.examples import Example


class Totals(NamedTuple):
    """What a whole optimizer step, over all micro-batches and processes, is divided by."""

    tokens: int
    examples: int

    @staticmethod
    def of(examples: Sequence[Example]) -> "Totals":
        """The totals of one step's examples."""
        return Totals(sum(len(example.target) for example in examples), len(examples))


class Outcome(NamedTuple):
    """A micro-batch's share of its step."""

    loss: Tensor
    """Already divided by the step's totals: shares add up to the step's loss."""
    metrics: dict[str, Tensor]
    """Shares likewise, detached; `ce` in nats a token."""


class Objective(Protocol):
    """Maps examples to their share of the step's loss."""

    def __call__(self, examples: Sequence[Example], totals: Totals, *, progress: float, seed: int) -> Outcome:
        """The share of `examples`; `progress` runs from 0 to 1 over training, `seed` names step and micro-batch."""
        ...


class CompressionObjective(nn.Module):
    """Pretraining and instruction tuning: CE of the target given the documents' memories, plus aligned means (eq. 2.1).

    Args:
        model: compressor and generator are used.
        mse_weight: λ of the alignment loss.
        mse_reduction: its reduction over the width.
    """

    def __init__(self, model: ClaraModel, *, mse_weight: float, mse_reduction: Literal["mean", "sum"] = "mean") -> None:
        super().__init__()
        self.model = model
        self.mse_weight = mse_weight
        self.mse_reduction: Literal["mean", "sum"] = mse_reduction

    def forward(self, examples: Sequence[Example], totals: Totals, *, progress: float, seed: int) -> Outcome:
        """The share of `examples`; a document that several of them name is compressed once."""
        texts = list(dict.fromkeys(text for example in examples for text in example.documents))
        memories = self.model.encode(COMPRESSOR, [self.model.tokens.to_compress(text) for text in texts])
        place = {text: index for index, text in enumerate(texts)}
        used = torch.tensor([place[text] for example in examples for text in example.documents])
        owner = torch.tensor([number for number, example in enumerate(examples) for _ in example.documents])
        share = torch.tensor([1 / len(example.documents) for example in examples])[owner].to(memories.vectors.device)
        losses = self.model.losses(
            [example.prompt for example in examples],
            [example.target for example in examples],
            memories.vectors[used.to(memories.vectors.device)],
        )
        ce = losses.sums.sum() / totals.tokens
        alignment = alignment_losses(memories.text_mean, memories.memory_mean, reduction=self.mse_reduction)
        mse = (alignment[used.to(alignment.device)] * share).sum() / totals.examples
        return Outcome(ce + self.mse_weight * mse, {"ce": ce.detach(), "mse": mse.detach()})


class JointObjective(nn.Module):
    """Joint training: CE of the answer given the memories that the query reasoner selects; no relevance labels.

    Args:
        model: query reasoner and generator are used; documents come from `store`, never through the compressor.
        store: gives the memories of documents.
        top_k: documents selected.
        temperature: τ at progress 0 and 1; geometric in between.
        selection: how gradient reaches the scores.
        gold: key of an example → indices of its gold documents, for the logged recall only.
        mask_epsilon: what is left of the mask of a document that an earlier slot took.
    """

    def __init__(
        self,
        model: ClaraModel,
        *,
        store: "MemorySource",
        top_k: int,
        temperature: tuple[float, float],
        selection: SelectionForm,
        gold: dict[str, list[int]],
        mask_epsilon: float = 0.0,
    ) -> None:
        super().__init__()
        self.model = model
        self.store = store
        self.k = top_k
        self.temperature = temperature
        self.selection = selection
        self.gold = gold
        self.mask_epsilon = mask_epsilon

    def forward(self, examples: Sequence[Example], totals: Totals, *, progress: float, seed: int) -> Outcome:
        """The share of `examples`; pools may differ in size."""
        questions = self.model.encode(
            QUERY_REASONER, [self.model.tokens.to_compress(example.question) for example in examples]
        ).vectors
        pools, valid = pad_pools([self.store.memories(example.documents) for example in examples])
        pools, valid = pools.to(questions.device), valid.to(questions.device)
        scores = cosine_scores(questions, pools, valid)
        start, end = self.temperature
        noise = None
        if self.selection == "gumbel" and self.model.training:
            noise = gumbel_noise(scores, torch.Generator().manual_seed(seed))
        temperature = start * (end / start) ** progress
        chosen = top_k(
            scores, valid=valid, k=self.k, temperature=temperature, noise=noise, mask_epsilon=self.mask_epsilon
        )
        memories = gather_selected(pools, chosen, form="soft" if self.selection == "soft" else "straight_through")
        losses = self.model.losses(
            [example.prompt for example in examples], [example.target for example in examples], memories[chosen.valid]
        )
        ce = losses.sums.sum() / totals.tokens
        top_row = chosen.weights[:, 0].detach()
        entropy = -(top_row * top_row.clamp(min=1e-12).log()).sum(-1)
        metrics = {
            "ce": ce.detach(),
            "p_max": top_row.max(-1).values.sum() / totals.examples,
            "entropy": entropy.sum() / totals.examples,
            f"recall@{self.k}": self._recall(examples, chosen.indices, chosen.valid) / totals.examples,
        }
        return Outcome(ce, metrics)

    def _recall(self, examples: Sequence[Example], indices: Tensor, valid: Tensor) -> Tensor:
        found = 0.0
        for example, row, real in zip(examples, indices.tolist(), valid.tolist(), strict=True):
            gold = set(self.gold[example.key])
            taken = {index for index, is_real in zip(row, real, strict=True) if is_real}
            found += len(gold & taken) / max(len(gold), 1)
        return torch.tensor(found, device=indices.device)


class MemorySource(Protocol):
    """Gives stored memories of documents."""

    def memories(self, documents: Sequence[str]) -> Float[Tensor, "documents memory dim"]:
        """Memories of `documents`, in their order."""
        ...


def pad_pools(pools: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Pools of unequal size as one tensor `[batch, candidates, memory, dim]` and its validity mask."""
    width = max(len(pool) for pool in pools)
    padded = pools[0].new_zeros(len(pools), width, *pools[0].shape[1:])
    valid = torch.zeros(len(pools), width, dtype=torch.bool)
    for number, pool in enumerate(pools):
        padded[number, : len(pool)] = pool
        valid[number, : len(pool)] = True
    return padded, valid
