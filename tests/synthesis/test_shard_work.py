"""Which passages a shard takes: as if all were in memory, while hardly any is."""

import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from clara import row_files
from clara.config.synthesis import Synthesis
from clara.records import Passage
from clara.row_files import write_rows
from clara.synthesis.passages import Even, is_prose
from clara.synthesis.shard_work import Task, plan_work
from tests.synthesis.test_synthesize import SETTINGS, corpus


def mixed(number: int) -> list[Passage]:
    """Passages of which every third and every seventh are no prose."""
    return [
        passage.model_copy(update={"text": "Too short."}) if place % 3 == 1 or place % 7 == 0 else passage
        for place, passage in enumerate(corpus(number))
    ]


def equally(items: list[Passage], number: int | None) -> list[Passage]:
    if number is None or number >= len(items):
        return items
    return [items[place * len(items) // number] for place in range(number)]


def plain(passages: list[Passage], settings: Synthesis, shard: int) -> list[Task]:
    """The slow twin: all in memory, and ids in sets."""
    chosen = equally([passage for passage in passages if is_prose(passage)], settings.num_passages)
    few = settings.num_passages_for
    asked = {
        kind: {passage.id for passage in equally(chosen, few.get(kind))}
        for kind in settings.kinds
        if few.get(kind) != 0
    }
    start, end = ((number * len(chosen)) // settings.shards for number in (shard - 1, shard))
    return [(passage, kind) for passage in chosen[start:end] for kind in asked if passage.id in asked[kind]]


@pytest.mark.parametrize("shards", [1, 3, 40])
@pytest.mark.parametrize(
    "asked",
    [
        {"num_passages": None},
        {"num_passages": 13},
        {"num_passages": 999, "num_passages_for": {"complex": 7}},
        {"num_passages": 20, "num_passages_for": {"simple": 3, "complex": 0, "paraphrase": 19}},
    ],
)
def test_a_shard_takes_what_it_would_if_all_passages_were_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shards: int, asked: dict[str, Any]
) -> None:
    kinds = ["simple", "complex", "paraphrase"]
    settings = Synthesis.model_validate({**SETTINGS, "kinds": kinds, "shards": shards, **asked})
    passages = mixed(61)
    write_rows(tmp_path / "passages.parquet", passages, block=5)
    totals, here = [], 0
    for shard in range(1, shards + 1):
        work = plan_work(settings, tmp_path / "passages.parquet", shard)
        tasks = list(work)
        assert tasks == plain(passages, settings, shard)
        assert len(work) == len(tasks)
        assert work.start(2) == [task for kind in kinds for task in [one for one in tasks if one[1] == kind][:2]]
        totals.append(work.forecast.asked)
        here += len(tasks)
    assert all(total == totals[0] for total in totals)
    assert sum(totals[0].values()) == here > 0


@pytest.mark.parametrize(("total", "number"), [(10, 4), (7, 7), (7, 9), (7, None), (5, 0), (0, 3), (1000, 37)])
def test_even_places_are_those_of_a_list(total: int, number: int | None) -> None:
    count = total if number is None else min(number, total)
    wanted = [place * total // count for place in range(count)]
    places = Even(total, number)
    assert (list(places), len(places), places[1:3]) == (wanted, count, wanted[1:3])
    assert [place for place in range(-1, total + 1) if place in places] == wanted


def test_planning_keeps_no_passage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_files, "ROW_GROUP", 32)
    path, passages = tmp_path / "passages.parquet", corpus(2000)
    write_rows(path, passages)
    text = sum(len(passage.text) for passage in passages)
    settings = Synthesis.model_validate({**SETTINGS, "num_passages": 1500})
    tracemalloc.start()
    work = plan_work(settings, path, 1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(work) == 3000
    assert peak < text / 3
