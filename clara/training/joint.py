"""The objectives of joint training: answers through the selection, and the supervised ranking it is compared with."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from clara.losses import marginal_losses, ranking_losses
from clara.model.adapters import QUERY_REASONER
from clara.model.clara import ClaraModel
from clara.model.scoring import pad_pools
from clara.model.topk import Selection, gather_selected, gumbel_noise, top_k
from clara.training.examples import Example
from clara.training.micro_batches import Load
from clara.training.objectives import Outcome, Totals

NOISE = int.from_bytes(b"gumbel", "big")
"""Sets the noise's stream of random numbers apart from that of dropout, which a CPU draws from the same seed."""

SelectionForm = Literal["straight_through", "gumbel", "soft", "marginal"]


class MemorySource(Protocol):
    """Gives stored memories of documents."""

    def memories(self, documents: Sequence[str]) -> Float[Tensor, "documents memory dim"]:
        """Memories of `documents`, in their order."""
        ...


class ScoredPools(NamedTuple):
    """Questions' candidates as the query reasoner sees them."""

    memories: Float[Tensor, "batch candidates memory dim"]
    scores: Float[Tensor, "batch candidates"]
    """Cosine of question and candidate."""
    valid: Bool[Tensor, "batch candidates"]
    """False on padding."""


class JointObjective(nn.Module):
    """Joint training: CE of the answer given the memories that the query reasoner selects; no relevance labels.

    With the selection `marginal` the loss is -log Σ_j p_j p(answer | document j): each of the k best documents is read
    alone, and p is the softmax of their scores / τ. Only the probabilities p carry gradient to the scores
    (paper, appendix A, path I); in the other forms only the memories do (path II). Its examples' prompts hold one slot.

    Args:
        model: query reasoner and generator are used; documents come from `store`, never through the compressor.
        store: gives the memories of documents.
        top_k: documents selected.
        temperature: τ at progress 0 and 1, in units of cosine; geometric in between.
        selection: how gradient reaches the scores.
        mask_epsilon: what is left of the mask of a document that an earlier slot took.
    """

    def __init__(
        self,
        model: ClaraModel,
        *,
        store: MemorySource,
        top_k: int,
        temperature: tuple[float, float],
        selection: SelectionForm,
        mask_epsilon: float = 0.0,
    ) -> None:
        super().__init__()
        self.model = model
        self.store = store
        self.k = top_k
        self.temperature = temperature
        self.selection: SelectionForm = selection
        self.mask_epsilon = mask_epsilon

    def forward(self, examples: Sequence[Example], totals: Totals, *, progress: float, seed: int) -> Outcome:
        """The share of `examples`; pools may differ in size."""
        pools = score_pools(self.model, self.store, examples)
        temperature = annealed(self.temperature, progress)
        noise = None
        if self.selection == "gumbel" and self.model.training:
            noise = gumbel_noise(pools.scores, torch.Generator().manual_seed(seed ^ NOISE))
        chosen = top_k(
            pools.scores,
            valid=pools.valid,
            k=self.k,
            temperature=temperature,
            noise=noise,
            mask_epsilon=self.mask_epsilon,
        )
        if self.selection == "marginal":
            losses = self._marginal_losses(examples, pools, chosen, temperature)
        else:
            form = self.selection if self.selection == "soft" else "straight_through"
            memories = gather_selected(pools.memories, chosen, form=form)
            prompts, targets = [item.prompt for item in examples], [item.target for item in examples]
            slots = self.model.backbone.put(real_slots(examples, chosen.valid.shape[1]))
            losses = self.model.losses(prompts, targets, memories.flatten(0, 1).index_select(0, slots)).sums
        ce = losses.sum() / totals.tokens
        recall = recall_sum(examples, chosen) / max(totals.with_gold, 1)
        return Outcome(ce, {"ce": ce.detach(), **sharpness(chosen, totals), f"recall@{self.k}": recall})

    def load(self, example: Example) -> Load:
        """Its question, and its prompt with the target, with `marginal` once for each document that is read."""
        readers = min(self.k, len(example.documents)) if self.selection == "marginal" else 1
        question = len(example.to_ask(self.model.tokens).ids)
        return Load({}, ((1, question), (readers, len(example.prompt) + len(example.target))))

    def _marginal_losses(
        self, examples: Sequence[Example], pools: ScoredPools, chosen: Selection, temperature: float
    ) -> Float[Tensor, " batch"]:
        constant = chosen._replace(weights=chosen.weights.detach())
        places = real_slots(examples, chosen.valid.shape[1])
        slots = self.model.backbone.put(places)
        memories = gather_selected(pools.memories, constant).flatten(0, 1).index_select(0, slots)
        readers = [examples[place // chosen.valid.shape[1]] for place in places.tolist()]
        found = self.model.losses([item.prompt for item in readers], [item.target for item in readers], memories).sums
        likelihood = found.new_zeros(chosen.valid.numel()).index_copy(0, slots, -found).view(chosen.valid.shape)
        logits = (pools.scores.gather(1, chosen.indices) / temperature).masked_fill(~chosen.valid, -torch.inf)
        return marginal_losses(logits.log_softmax(-1), likelihood)


class RankingObjective(nn.Module):
    """The supervised reranker (Table 7, rows `Sup-`): multi-positive InfoNCE on relevance labels, in nats a question.

    Only the query reasoner learns; no answer is read.

    Args:
        model: its query reasoner is used.
        store: gives the memories of documents.
        top_k: cut-off of the logged recall.
        temperature: τ at progress 0 and 1, in units of cosine; geometric in between.
    """

    def __init__(
        self,
        model: ClaraModel,
        *,
        store: MemorySource,
        top_k: int,
        temperature: tuple[float, float],
    ) -> None:
        super().__init__()
        self.model = model
        self.store = store
        self.k = top_k
        self.temperature = temperature

    def forward(self, examples: Sequence[Example], totals: Totals, *, progress: float, seed: int) -> Outcome:
        """The share of `examples`; pools may differ in size."""
        pools = score_pools(self.model, self.store, examples)
        temperature = annealed(self.temperature, progress)
        positive = self.model.backbone.put(gold_mask(examples, pools.valid.shape[1]))
        losses = ranking_losses(pools.scores / temperature, positive=positive, valid=pools.valid)
        loss = losses.sum() / totals.examples
        chosen = top_k(pools.scores.detach(), valid=pools.valid, k=self.k, temperature=temperature)
        recall = recall_sum(examples, chosen) / max(totals.with_gold, 1)
        return Outcome(loss, {**sharpness(chosen, totals), f"recall@{self.k}": recall})

    def load(self, example: Example) -> Load:
        """Its question."""
        return Load({}, ((1, len(example.to_ask(self.model.tokens).ids)),))


def score_pools(model: ClaraModel, store: MemorySource, examples: Sequence[Example]) -> ScoredPools:
    """The candidates of each example with their scores by the query reasoner (eq. 3.1)."""
    inputs = [example.to_ask(model.tokens) for example in examples]
    questions = model.encode(QUERY_REASONER, inputs).vectors
    memories = torch.cat([store.memories(example.documents) for example in examples])
    pools, valid = pad_pools(model.backbone.put(memories), [len(example.documents) for example in examples])
    return ScoredPools(pools, model.scores(questions, pools, valid), valid)


def annealed(temperature: tuple[float, float], progress: float) -> float:
    """τ at `progress` (0 to 1): geometric from the first to the second value."""
    start, end = temperature
    return float(start * (end / start) ** progress)


def sharpness(chosen: Selection, totals: Totals) -> dict[str, Tensor]:
    """Shares of the mean greatest weight (`p_max`) and entropy (nats) of the first slot's soft row."""
    row = chosen.weights[:, 0].detach()
    entropy = -(row * row.clamp(min=1e-12).log()).sum(-1)
    return {"p_max": row.max(-1).values.sum() / totals.examples, "entropy": entropy.sum() / totals.examples}


def recall_sum(examples: Sequence[Example], chosen: Selection) -> Tensor:
    """Sum over the examples that have gold documents of the share of these that was selected."""
    device = chosen.indices.device
    gold = gold_mask(examples, chosen.weights.shape[-1]).to(device, non_blocking=True)
    found = (gold.gather(1, chosen.indices) & chosen.valid).sum(1)
    return (found / gold.sum(1).clamp(min=1)).sum()


def gold_mask(examples: Sequence[Example], candidates: int) -> Tensor:
    """Whether each candidate is a gold document of its example, `[batch, candidates]`, on the host."""
    rows = [row for row, example in enumerate(examples) for _ in example.gold]
    mask = torch.zeros(len(examples), candidates, dtype=torch.bool)
    mask[rows, [index for example in examples for index in example.gold]] = True
    return mask


def real_slots(examples: Sequence[Example], k: int) -> Tensor:
    """Places, row by row, of the slots that a candidate is left for among `[batch, k]`, on the host."""
    sizes = torch.tensor([len(example.documents) for example in examples])
    return (torch.arange(k) < sizes[:, None]).flatten().nonzero()[:, 0]
