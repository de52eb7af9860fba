"""Many jobs' rows as one job's: passages in equal parts, and their results put together again in order."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from clara.files import read_json, write_json
from clara.records import Pair
from clara.row_files import Rows
from clara.synthesis import report, tables
from clara.synthesis.leaks import Leaks
from clara.synthesis.rows import Rejected

Item = TypeVar("Item")


def part(items: Sequence[Item], shard: int, shards: int) -> Sequence[Item]:
    """The items of one of `shards` shards, counted from 1: runs of neighbours, so that joined they are all in order."""
    start, end = ((number * len(items)) // shards for number in (shard - 1, shard))
    return items[start:end]


def gather(
    *,
    shard_pairs: Sequence[Path],
    shard_rejected: Sequence[Path],
    shard_reports: Sequence[Path],
    leaks: Leaks | None,
    pairs: Path,
    rejected: Path,
    summary: Path,
) -> None:
    """Writes the rows of all shards as one table each, with a report; the same bytes for any number of shards.

    Args:
        shard_pairs: accepted rows of each shard, in order.
        shard_rejected: the others.
        shard_reports: the shards' reports.
        leaks: what to leave out as `leak`, if anything.
        pairs: all accepted rows.
        rejected: all others, those left out here at the end.
        summary: the report.
    """
    rows, left_out = report.Tally(), list[Rejected]()

    def kept() -> Iterator[Pair]:
        for path in shard_pairs:
            for pair in Rows(Pair, path):
                if leaks is not None and leaks.of(pair):
                    left_out.append(Rejected(**pair.model_dump(), reason="leak"))
                else:
                    rows.accept(pair)
                    yield pair

    def others() -> Iterator[Rejected]:
        for path in shard_rejected:
            yield from _told(Rows(Rejected, path), rows.reject)
        yield from _told(left_out, rows.reject)

    tables.write(Pair, pairs, kept())
    tables.write(Rejected, rejected, others())
    write_json(summary, report.gathered([read_json(path) for path in shard_reports], rows))


def _told(rows: Iterable[Rejected], tell: Callable[[Rejected], None]) -> Iterator[Rejected]:
    for row in rows:
        tell(row)
        yield row
