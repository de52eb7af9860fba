"""Searches of a whole store by late interaction and behind a map of documents."""

from pathlib import Path

import pytest
import torch

import clara
from clara.bench.made_up import write_store
from clara.model import checkpoint, search
from clara.model.adapters import QUERY_REASONER
from clara.model.checkpoint import LoadedCheckpoint
from clara.model.packing import STORE_TYPES, StoreType
from clara.model.store import MemoryStore
from clara.model.store_search import StoreSearch
from tests import tiny
from tests.model.test_document_map import QUESTIONS, Make, mapped, vectors


@pytest.fixture(params=["late_interaction", "late_interaction behind a map", "flattened behind a map"])
def searched(request: pytest.FixtureRequest, make_model: Make, tmp_path: Path) -> tuple[LoadedCheckpoint, Path]:
    """A checkpoint, and a store of its compressor."""
    score, behind, _ = request.param.partition(" behind ")
    model = make_model(score=score)
    if behind:
        mapped(model)
    else:
        model.add_query_reasoner("compressor")
    loaded = checkpoint.load(tiny.save(model, tmp_path / "joint", stage="joint"), dtype="float32")
    return loaded, tiny.store(loaded, tmp_path, dtype="bfloat16")


def test_a_search_is_a_sort_of_all_scores_and_takes_lengths_once(
    searched: tuple[LoadedCheckpoint, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, store = searched[0].model, MemoryStore(searched[1])
    monkeypatch.setattr(search, "SEARCH_BYTES", 2 * 4 * 4 * 64)  # two documents
    questions = vectors(model, QUERY_REASONER, QUESTIONS)
    everything = store.rows(range(len(tiny.TEXTS)))[None].expand(len(questions), -1, -1, -1)
    wanted = torch.sort(model.scores(questions, everything).detach(), dim=-1, descending=True, stable=True)
    prepared = StoreSearch(model, store)
    for name in ("compared", "_behind"):
        monkeypatch.setattr(model, name, None)
    monkeypatch.setattr(prepared, "_lengths", None)
    found = prepared.search(store, questions, k=4)
    torch.testing.assert_close(found.scores, wanted.values[:, :4], atol=1e-5, rtol=0)
    assert torch.equal(found.rows, wanted.indices[:, :4])


@pytest.mark.parametrize("form", ["pooled", "plain"])
@pytest.mark.parametrize("dtype", STORE_TYPES)
def test_vectors_without_a_direction_score_nothing_in_a_store_of_any_type(
    dtype: StoreType, form: str, make_model: Make, tmp_path: Path
) -> None:
    model = make_model(form=form, score="late_interaction")
    chance = torch.Generator().manual_seed(3)
    model.centre = torch.randn(64, generator=chance) * (form == "pooled")
    memories, questions = torch.randn(8, 4, 64, generator=chance), torch.randn(3, 4, 64, generator=chance)
    memories[2], memories[5], memories[6, 1] = model.centre, 0, model.centre
    store = MemoryStore(write_store(tmp_path, [memories], dtype=dtype))
    scores = model.scores(questions, store.rows(range(8))[None].expand(3, -1, -1, -1))
    wanted = torch.sort(scores, dim=-1, descending=True, stable=True)
    found = StoreSearch(model, store).search(store, questions, k=8)
    torch.testing.assert_close(found.scores, wanted.values, atol=1e-4, rtol=0)
    assert torch.equal(found.rows, wanted.indices)


@pytest.mark.filterwarnings("ignore::clara.errors.CutWarning")
def test_answers_search_so_and_leave_an_index_alone(searched: tuple[LoadedCheckpoint, Path], tmp_path: Path) -> None:
    served, opened = clara.load(tmp_path / "joint"), MemoryStore(searched[1])
    search.build_index(opened)
    given = served.find(QUESTIONS, documents=[tiny.TEXTS] * 2, k=3)
    for _ in range(2):
        found = served.find(QUESTIONS, store=opened, k=3)
        assert [one.documents for one in found] == [one.documents for one in given]
        torch.testing.assert_close(found[0].scores, given[0].scores, atol=2e-3, rtol=0)  # stored in bfloat16
    assert len(served._searches) == 1  # the lengths were taken once
    stored = opened.memories(found[0].documents)
    assert torch.equal(torch.stack(list(found[0].memories)), stored)
    del opened
    assert not served._searches, "a store that nobody holds is forgotten"
