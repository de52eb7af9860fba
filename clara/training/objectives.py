"""What an objective is, and that of pretraining and instruction tuning."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from clara.losses import alignment_losses
from clara.model.adapters import COMPRESSOR
from clara.model.clara import ClaraModel
from clara.training.examples import Example
from clara.training.micro_batches import Load


class Totals(NamedTuple):
    """What a whole optimizer step, over all micro-batches and processes, is divided by."""

    tokens: int
    examples: int
    with_gold: int
    """Examples whose gold documents are known: recall is a mean over them (D10)."""

    @staticmethod
    def of(examples: Sequence[Example]) -> "Totals":
        """The totals of one step's examples."""
        tokens = sum(len(example.target) for example in examples)
        return Totals(tokens, len(examples), sum(bool(example.gold) for example in examples))


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

    def load(self, example: Example) -> Load:
        """What `example` brings to the forward passes."""
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
        tokens = self.model.tokens
        inputs = {
            text: item
            for example in examples
            for text, item in zip(example.documents, example.to_compress(tokens), strict=True)
        }
        memories = self.model.encode(COMPRESSOR, list(inputs.values()))
        place = {text: index for index, text in enumerate(inputs)}
        used = self.model.backbone.put(
            torch.tensor([place[text] for example in examples for text in example.documents])
        )
        owner = torch.tensor([number for number, example in enumerate(examples) for _ in example.documents])
        share = self.model.backbone.put(torch.tensor([1 / len(example.documents) for example in examples])[owner])
        losses = self.model.losses(
            [example.prompt for example in examples],
            [example.target for example in examples],
            memories.vectors.index_select(0, used),
        )
        ce = losses.sums.sum() / totals.tokens
        alignment = alignment_losses(memories.text_mean, memories.memory_mean, reduction=self.mse_reduction)
        mse = (alignment.index_select(0, used) * share).sum() / totals.examples
        return Outcome(ce + self.mse_weight * mse, {"ce": ce.detach(), "mse": mse.detach()})

    def load(self, example: Example) -> Load:
        """Its documents, which the compressor reads, and its prompt with the target."""
        read = example.to_compress(self.model.tokens)
        lengths = {text: len(item.ids) for text, item in zip(example.documents, read, strict=True)}
        return Load(lengths, ((1, len(example.prompt) + len(example.target)),))


class TextObjective(nn.Module):
    """Tuning on prompts that show documents as text: CE of the target, and no memories anywhere.

    Args:
        model: its generator is used.
    """

    def __init__(self, model: ClaraModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, examples: Sequence[Example], totals: Totals, *, progress: float, seed: int) -> Outcome:
        """The share of `examples`, whose prompts have no slots."""
        prompts, targets = [item.prompt for item in examples], [item.target for item in examples]
        ce = self.model.losses(prompts, targets, None).sums.sum() / totals.tokens
        return Outcome(ce, {"ce": ce.detach()})

    def load(self, example: Example) -> Load:
        """Its prompt with the target."""
        return Load({}, ((1, len(example.prompt) + len(example.target)),))
