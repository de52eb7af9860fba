"""A step's examples in micro-batches: by their number, or also by the positions that their forward passes take."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from clara.config.training import Optimization
from clara.training.examples import Example
from clara.training.sampling import by_length


class Load(NamedTuple):
    """What an example brings to the forward passes of its micro-batch; lengths in tokens, as the model reads them."""

    documents: dict[str, int]
    """Text → length of what is compressed; a text that several examples bring goes through once."""
    others: tuple[tuple[int, int], ...]
    """Of every other pass, in one order for all examples: how many texts, and the length of each."""


class Loading(Protocol):
    """An objective that says what its examples bring."""

    def load(self, example: Example) -> Load:
        """What `example` brings to the forward passes."""
        ...


def micro_batches(examples: Sequence[Example], plan: Optimization, objective: Loading) -> list[list[Example]]:
    """All of `examples`, each once: by count in their order; by tokens sorted by length, shared documents together.

    By tokens, as many follow one another as both bounds allow; an example longer than that is a micro-batch by itself.
    """
    if plan.micro_batch_tokens is None:
        size = plan.micro_batch_size
        return [list(examples[start : start + size]) for start in range(0, len(examples), size)]
    batches: list[list[Example]] = []
    loads: list[Load] = []
    for example in by_length(examples, lambda example: positions([objective.load(example)])):
        load = objective.load(example)
        full = len(loads) == plan.micro_batch_size
        if not loads or full or positions([*loads, load]) > plan.micro_batch_tokens:
            batches.append([])
            loads = []
        batches[-1].append(example)
        loads.append(load)
    return batches


def positions(loads: Sequence[Load]) -> int:
    """Positions that all passes over one micro-batch take: in each, every text is padded to the longest."""
    documents = {text: length for load in loads for text, length in load.documents.items()}
    total = len(documents) * max(documents.values(), default=0)
    for texts in zip(*(load.others for load in loads), strict=True):
        total += sum(count for count, _ in texts) * max(length for _, length in texts)
    return total


def padding(batches: Sequence[Sequence[Example]], objective: Loading) -> float:
    """Share of the positions of all passes that are padding."""
    taken = filled = 0
    for batch in batches:
        loads = [objective.load(example) for example in batch]
        taken += positions(loads)
        documents = {text: length for load in loads for text, length in load.documents.items()}
        filled += sum(documents.values())
        filled += sum(count * length for load in loads for count, length in load.others)
    return 1 - filled / max(taken, 1)
