"""A look at what synthesis made: leaks, a check of a sample, and a page of pairs to read."""

import os
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from clara.files import read_json, write_json, write_text
from clara.records import Pair
from clara.row_files import Rows
from clara.synthesis import quality
from clara.synthesis.leaks import Leaks
from clara.synthesis.rows import Rejected

Item = TypeVar("Item")

CHECKED = 100
"""Accepted pairs that the check of `quality` sees."""
SHOWN = 20
"""Accepted and rejected rows on the page, each."""
LEAKS_NAMED = 10


def review(*, pairs: Path, rejected: Path, report: Path, leaks: Leaks, seed: int, summary: Path, page: Path) -> None:
    """Writes the report again with what a review adds, and the page of samples.

    Args:
        pairs: accepted rows.
        rejected: the others.
        report: the report of synthesis.
        leaks: the test questions.
        seed: of the samples.
        summary: the report with `leaks` and `quality`.
        page: the samples as a page of its own.
    """
    found: Counter[str] = Counter()
    named: list[str] = []

    def looked_at() -> Iterable[Pair]:
        for pair in Rows(Pair, pairs):
            if leak := leaks.of(pair):
                found[leak.what] += 1
                if len(named) < LEAKS_NAMED:
                    named.append(f"{pair.id}: {leak.test_question}")
            yield pair

    accepted_shown, checked = samples(
        looked_at(), random.Random(f"{seed}-review"), (SHOWN, lambda pair: True), (CHECKED, _asks)
    )
    (rejected_shown,) = samples(Rows(Rejected, rejected), random.Random(f"{seed}-rejected"), (SHOWN, lambda pair: True))
    content = read_json(report) | {
        "leaks": {
            "test_questions": len(leaks.questions),
            "rows_by_question": found["question"],
            "rows_by_passage": found["passage"],
            "first": named,
        },
        "quality": quality.measure(checked, seed),
    }
    write_json(summary, content)
    write_text(page, _page(accepted_shown, rejected_shown, content, Path(os.path.relpath(summary, page.parent))))


def samples(items: Iterable[Item], choice: random.Random, *wanted: Any) -> list[list[Item]]:
    """Random samples of a stream, each in the stream's order; all items are equally likely (reservoir).

    Args:
        items: read once.
        choice: draws.
        wanted: pairs of a size and a test that an item must pass to be drawn.
    """
    held: list[list[tuple[int, Item]]] = [[] for _ in wanted]
    met = [0] * len(wanted)
    for place, item in enumerate(items):
        for number, (size, fits) in enumerate(wanted):
            if not fits(item):
                continue
            met[number] += 1
            if met[number] <= size:
                held[number].append((place, item))
            elif (slot := choice.randrange(met[number])) < size:
                held[number][slot] = (place, item)
    return [[item for _, item in sorted(sample, key=lambda entry: entry[0])] for sample in held]


def _asks(pair: Pair) -> bool:
    return pair.kind != "paraphrase"


def _page(accepted: Sequence[Pair], rejected: Sequence[Rejected], content: dict[str, Any], summary: Path) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    # What a model wrote is shown as text, whatever it looks like.
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template("samples.html.jinja")
    faults = {pair.id: quality.fault(pair) for pair in accepted if _asks(pair)}
    return template.render(accepted=accepted, rejected=rejected, faults=faults, content=content, summary=summary)
