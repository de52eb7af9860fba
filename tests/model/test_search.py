from pathlib import Path

import pytest
import torch

from clara.bench.made_up import write_store
from clara.errors import CheckpointError
from clara.model import search
from clara.model.packing import StoreType
from clara.model.scoring import cosine_scores
from clara.model.search import Index, build_index, exact
from clara.model.store import MemoryStore

COUNT = 90
NEAR = [3, 50, 89, 0, 41]


@pytest.fixture
def world(tmp_path: Path) -> tuple[MemoryStore, torch.Tensor]:
    """A store of 90 documents in shards of 40, and questions near five of them."""
    chance = torch.Generator().manual_seed(1)
    # Few directions and a large common part, as real memories have.
    memories = torch.randn(COUNT, 10, generator=chance) @ torch.randn(10, 4 * 64, generator=chance) + 5
    memories = memories.unflatten(1, (4, 64))
    store = MemoryStore(write_store(tmp_path, memories.split(40), dtype="bfloat16"))
    near = store.rows(NEAR).float()
    return store, near + 0.1 * torch.randn(near.shape, generator=chance)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SEARCH_BYTES", "BUILD_BYTES"):
        monkeypatch.setattr(search, name, 16 * 4 * 4 * 64)  # 16 documents
    monkeypatch.setattr(search, "INDEX_BLOCK", 32)
    monkeypatch.setattr(search, "ROWS_AT_ONCE", 7)


def test_an_exact_search_in_blocks_is_a_sort_of_all_scores(world: tuple[MemoryStore, torch.Tensor]) -> None:
    store, questions = world
    everything = store.rows(range(COUNT))[None].expand(5, -1, -1, -1)
    wanted = torch.sort(cosine_scores(questions, everything), dim=-1, descending=True, stable=True)
    found = exact(store, questions, k=7)
    assert torch.equal(found.rows, wanted.indices[:, :7])
    torch.testing.assert_close(found.scores, wanted.values[:, :7], atol=1e-6, rtol=0)
    assert found.rows[:, 0].tolist() == NEAR


def test_among_equals_the_first_is_found() -> None:
    chance = torch.Generator().manual_seed(3)
    scores = torch.randint(0, 4, (50, 64), generator=chance).float()  # with ties at every cut
    wanted = torch.sort(scores, dim=-1, descending=True, stable=True).indices[:, :5]
    assert torch.equal(search._merge(search._none(50), scores, 0, 5).rows, wanted)


def test_the_index_finds_what_the_exact_search_finds(world: tuple[MemoryStore, torch.Tensor]) -> None:
    store, questions = world
    build_index(store, width=16)
    found = Index(store).search(questions, k=5, rescored=30)
    wanted = exact(store, questions, k=5)
    same = [len(set(a) & set(b)) for a, b in zip(found.rows.tolist(), wanted.rows.tolist(), strict=True)]
    assert sum(same) / 25 >= 0.9
    assert found.rows[:, 0].tolist() == NEAR
    torch.testing.assert_close(found.scores[:, 0], wanted.scores[:, 0])


def test_rescoring_all_is_the_exact_search(world: tuple[MemoryStore, torch.Tensor]) -> None:
    store, questions = world
    build_index(store, width=2)
    assert torch.equal(Index(store).search(questions, k=5, rescored=COUNT).rows, exact(store, questions, k=5).rows)


def test_the_memory_of_a_search_and_of_a_build_is_bounded_in_bytes(
    world: tuple[MemoryStore, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, questions = world
    asked: list[int] = []
    blocks = MemoryStore.blocks
    monkeypatch.setattr(MemoryStore, "blocks", lambda self, size: asked.append(size) or blocks(self, size))
    document = 4 * 4 * 64  # bytes as float32
    monkeypatch.setattr(search, "SEARCH_BYTES", 6 * document - 1)
    monkeypatch.setattr(search, "BUILD_BYTES", 3 * document)
    wanted = exact(store, questions, k=5).rows
    build_index(store, width=16)
    monkeypatch.setattr(search, "SEARCH_BYTES", document // 2)
    assert torch.equal(exact(store, questions, k=5).rows, wanted)
    assert asked == [5, 3, 1]


def test_more_than_there_are_gives_all(world: tuple[MemoryStore, torch.Tensor]) -> None:
    store, questions = world
    assert exact(store, questions, k=500).rows.shape == (5, COUNT)


def test_an_index_of_another_state_or_none_is_refused(world: tuple[MemoryStore, torch.Tensor]) -> None:
    store, _ = world
    build_index(store)
    text = store.path.read_text()
    store.path.write_text(text + "\n")
    with pytest.raises(CheckpointError, match="is of another state of the store; run clara store index"):
        Index(store)
    store.path.write_text(text)
    (store.folder / search.INDEX).unlink()
    with pytest.raises(CheckpointError, match="there is no usable index"):
        Index(store)


@pytest.mark.parametrize("dtype", ["int8", "int4"])
def test_a_packed_store_finds_the_same_best(
    dtype: StoreType, world: tuple[MemoryStore, torch.Tensor], tmp_path: Path
) -> None:
    store, questions = world
    packed = MemoryStore(write_store(tmp_path / dtype, store.rows(range(COUNT)).split(40), dtype=dtype))
    assert exact(packed, questions, k=1).rows[:, 0].tolist() == NEAR


def test_texts_and_numbers_are_found_by_blocks(world: tuple[MemoryStore, torch.Tensor]) -> None:
    store, _ = world
    assert store.texts([7, 0]) == ["made up 7", "made up 0"]
    assert store.numbers(["made up 89", "unknown", "made up 3"]) == [89, None, 3]
    assert [(first, len(block)) for first, block in store.blocks(30)] == [
        (0, 30),
        (30, 10),
        (40, 30),
        (70, 10),
        (80, 10),
    ]


def test_lists_find_what_the_scan_finds_and_are_mapped(world: tuple[MemoryStore, torch.Tensor]) -> None:
    pytest.importorskip("faiss")
    store, questions = world
    assert build_index(store, width=16, kind="lists") == store.folder / "index.faiss"
    index = Index(store)
    assert index.rows is None
    assert index.lists is not None
    index.lists.probed = index.lists.num_lists  # all lists are all rows
    build = index.search(questions, k=5, rescored=30)
    build_index(store, width=16, kind="scan")
    assert not (store.folder / "index.faiss").exists()
    assert torch.equal(build.rows, Index(store).search(questions, k=5, rescored=30).rows)


def test_a_question_whose_lists_hold_too_few_reads_more_whatever_others_find(
    world: tuple[MemoryStore, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("faiss")
    monkeypatch.setattr(search.inverted, "TRAINED_ON", 6)
    store, questions = world
    build_index(store, width=16, kind="lists")
    index = Index(store)
    assert index.lists is not None
    assert index.lists.num_lists == 15
    index.lists.probed = 1
    near = index.lists.search(torch.nn.functional.normalize(questions.flatten(1), dim=1) @ index.directions, 60)
    assert len({len(rows) for rows in near}) > 1
    assert all(1 <= len(rows) < 50 for rows in near)
    for k in (1, 5, 50, COUNT, 500):
        found = index.search(questions, k=k, rescored=60)
        assert found.rows.shape == (5, min(k, COUNT))
        assert found.rows.ge(0).all()
        for question, rows in zip(questions, found.rows, strict=True):
            assert torch.equal(index.search(question[None], k=k, rescored=60).rows[0], rows)
    assert torch.equal(found.rows, exact(store, questions, k=COUNT).rows)
    index.lists.probed = 6
    assert index.search(questions, k=1, rescored=30).rows[:, 0].tolist() == NEAR


def test_large_stores_get_lists_by_themselves(
    world: tuple[MemoryStore, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("faiss")
    store, _ = world
    assert build_index(store).name == search.INDEX
    monkeypatch.setattr(search, "LISTS_FROM", COUNT)
    assert build_index(store).name == "index.faiss"
    (store.folder / "index.faiss").write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match="is no readable index"):
        Index(store)
