"""What a shard of synthesis does: which passages are its own, and what is asked of each."""

from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from clara.config.synthesis import Synthesis
from clara.records import Passage
from clara.row_files import Rows, StoredRows
from clara.synthesis.forecast import Forecast
from clara.synthesis.passages import Even, fit_rows
from clara.synthesis.rows import KINDS, Kind
from clara.synthesis.shards import part

Task = tuple[Passage, Kind]


@dataclass(frozen=True)
class ShardWork:
    """A shard's tasks, whose passages are read when it is gone through, and the forecast that watches them."""

    corpus: StoredRows[Passage]
    rows: "array[int]"
    """Numbers of its passages in the corpus, in order."""
    first: int
    """Place of the first of them among the passages of all shards."""
    asked: Mapping[Kind, Even]
    """Kind → places, among the passages of all shards, of those that it is asked of."""
    forecast: Forecast

    def __iter__(self) -> Iterator[Task]:
        """Passages with the kinds that are asked of each, in order."""
        return self._of(*self.asked)

    def __len__(self) -> int:
        return sum(self.forecast.here.values())

    def start(self, number: int) -> list[Task]:
        """Of each kind the first `number` tasks."""
        return [task for kind in self.asked for task in islice(self._of(kind), number)]

    def _of(self, *kinds: Kind) -> Iterator[Task]:
        for place, row in enumerate(self.rows, self.first):
            if wanted := [kind for kind in kinds if place in self.asked[kind]]:
                passage = self.corpus[row]
                yield from ((passage, kind) for kind in wanted)


def plan_work(settings: Synthesis, passages: Path, shard: int) -> ShardWork:
    """A shard's work, for which the corpus is gone through once.

    Which passages a kind is asked of is settled over all shards together, so that it does not depend on their number.
    Of the corpus only the numbers of the passages that are fit are kept.
    """
    fit = fit_rows(Rows(Passage, passages))
    chosen = Even(len(fit), settings.num_passages)
    asked = {
        kind: Even(len(chosen), settings.num_passages_for.get(kind))
        for kind in KINDS
        if kind in settings.kinds and settings.num_passages_for.get(kind) != 0
    }
    mine = part(range(len(chosen)), shard, settings.shards)
    here = Counter(kind for kind, places in asked.items() for place in mine if place in places)
    totals = {kind: len(places) for kind, places in asked.items()}
    return ShardWork(
        corpus=StoredRows(Passage, passages),
        rows=array("Q", (fit[chosen[place]] for place in mine)),
        first=mine[0] if mine else 0,
        asked=asked,
        forecast=Forecast(totals, here, share_of_corpus=len(chosen) / len(fit)),
    )
