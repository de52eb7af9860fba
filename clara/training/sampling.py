"""The order in which examples are learned from: a function of the seed and the step."""

import random
from collections import defaultdict
from collections.abc import Callable, Sequence

from clara.training.example_file import groups_of
from clara.training.examples import Example


class Sampler:
    """Gives the examples of each optimizer step: epochs on end, each in its own order, none left out.

    Within a step they are sorted by length, those of one document together: a step's loss is a sum over all of them, so
    this changes nothing but the padding of its micro-batches.

    Args:
        examples: all training examples.
        batch_size: examples a step.
        seed: of the orders.
        together: examples of one group that follow one another at most; a document that several examples of a
            micro-batch share is compressed once.
    """

    def __init__(self, examples: Sequence[Example], *, batch_size: int, seed: int, together: int = 1) -> None:
        self.examples = examples
        self.batch_size = batch_size
        self.seed = seed
        self.together = together
        self._epoch = -1
        self._order: list[int] = []
        groups: dict[object, list[int]] = defaultdict(list)
        for index, group in enumerate(groups_of(examples)):
            groups[group].append(index)
        self._groups = list(groups.values())

    def step(self, step: int) -> list[Example]:
        """The examples of optimizer step `step`, counted from 1."""
        first = (step - 1) * self.batch_size
        return by_length([self._at(position) for position in range(first, first + self.batch_size)], _length)

    def _at(self, position: int) -> Example:
        epoch, index = divmod(position, len(self.examples))
        if epoch != self._epoch:
            self._epoch, self._order = epoch, self._shuffled(epoch)
        return self.examples[self._order[index]]

    def _shuffled(self, epoch: int) -> list[int]:
        chance = random.Random(f"{self.seed}-epoch-{epoch}")
        runs = []
        for whole in self._groups:
            members = list(whole)
            chance.shuffle(members)
            runs += [members[start : start + self.together] for start in range(0, len(members), self.together)]
        chance.shuffle(runs)
        return [index for run in runs for index in run]


def by_length(examples: Sequence[Example], length: Callable[[Example], int]) -> list[Example]:
    """`examples`, the shortest first, those of the same documents together, by the longest of them."""
    runs: dict[tuple[str, ...], list[Example]] = defaultdict(list)
    for example in examples:
        runs[example.documents].append(example)
    return [example for run in sorted(runs.values(), key=lambda run: max(map(length, run))) for example in run]


def _length(example: Example) -> int:
    """About as many tokens as the example takes, four characters of a document being one."""
    return sum(map(len, example.documents)) // 4 + len(example.prompt) + len(example.target)
