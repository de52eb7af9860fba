"""LangChain's retriever over a store; skipped where LangChain is not installed (it is in no lock)."""

from collections.abc import Callable
from pathlib import Path

import pytest

import clara
from clara.model.checkpoint import LoadedCheckpoint
from clara.model.clara import ClaraModel
from tests import tiny

pytest.importorskip("langchain_core", reason="the extra langchain is not installed")


@pytest.mark.filterwarnings("default")  # LangChain's own
def test_its_documents_are_the_searchs_passages(make_model: Callable[..., ClaraModel], tmp_path: Path) -> None:
    from clara.langchain import retriever

    model = make_model()
    model.add_query_reasoner("compressor")
    tiny.stir(model, seed=4)
    tiny.save(model, tmp_path / "joint", stage="joint")
    loaded = clara.load(tmp_path / "joint")
    store = tiny.store(LoadedCheckpoint(loaded.model, loaded.card, loaded.compressor_hash), tmp_path)
    found = retriever(loaded, store, k=3).invoke("Who left?")
    (hits,) = loaded.search(["Who left?"], store=store, k=3)
    assert [(row.page_content, row.metadata) for row in found] == [
        (hit.text, {"id": hit.id, "title": hit.title, "score": hit.score}) for hit in hits
    ]
