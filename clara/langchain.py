"""The retriever of a store as LangChain's chains expect one; `pip install 'clara[langchain]'`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from clara.model.store import MemoryStore
from clara.serving import Clara

if TYPE_CHECKING:
    from langchain_core.retrievers import BaseRetriever


def retriever(model: Clara, store: MemoryStore | str | Path, *, k: int = 5) -> "BaseRetriever":
    """A LangChain retriever over `store`; its documents carry the passage's id, title and score.

    Raises:
        CheckpointError: the model has no query reasoner, or the store is of another compressor; when it is asked.
    """
    from langchain_core.documents import Document
    from langchain_core.retrievers import BaseRetriever

    class Retriever(BaseRetriever):  # type: ignore[misc, unused-ignore]  # Any where LangChain is missing
        def _get_relevant_documents(self, query: str, **_: Any) -> list[Document]:
            hits = model.search([query], store=store, k=k)[0]
            return [
                Document(page_content=hit.text, metadata={"id": hit.id, "title": hit.title, "score": hit.score})
                for hit in hits
            ]

    return Retriever()
