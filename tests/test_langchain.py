"""LangChain's retriever over a store: by LangChain's own classes where it is installed (in no lock), else stand-ins."""

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import clara
from clara.model.checkpoint import LoadedCheckpoint
from clara.model.clara import ClaraModel
from tests import tiny


@dataclass
class Document:
    """As `langchain_core.documents.Document` is made and read."""

    page_content: str
    metadata: dict[str, Any]


class BaseRetriever:
    """What `langchain_core.retrievers.BaseRetriever.invoke` asks of a retriever, callbacks apart."""

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        raise NotImplementedError

    def invoke(self, query: str) -> list[Document]:
        return self._get_relevant_documents(query, run_manager=object())


@pytest.fixture
def langchain(monkeypatch: pytest.MonkeyPatch) -> None:
    """LangChain, or the two classes of it that the adapter uses."""
    if importlib.util.find_spec("langchain_core") is not None:
        return
    for name, member in (("", None), (".documents", Document), (".retrievers", BaseRetriever)):
        module = ModuleType(f"langchain_core{name}")
        if member is not None:
            setattr(module, member.__name__, member)
        monkeypatch.setitem(sys.modules, module.__name__, module)


@pytest.mark.usefixtures("langchain")
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
