"""LangChain documents in and out: checked on the way in, copied on the way out."""

from __future__ import annotations

from collections.abc import Iterable

from langchain_core.documents import Document

__all__ = ["check_documents", "scored_copy"]


def check_documents(documents: object) -> list[Document]:
    """Return the documents as a list.

    Raises:
        TypeError: Not an iterable of documents with text; the message names the first bad index.
    """
    if not isinstance(documents, Iterable):
        raise TypeError(f"documents must be a list of Document, not {documents!r:.100}")
    checked = list(documents)
    for i, document in enumerate(checked):
        if not isinstance(document, Document):
            raise TypeError(
                f"document {i} is not a Document but {type(document).__name__}: "
                f"{document!r:.100}. Drop it, or wrap its text: Document(page_content=...)"
            )
        if not isinstance(document.page_content, str):
            raise TypeError(
                f"the page_content of document {i} is not a string but "
                f"{type(document.page_content).__name__}: {document.page_content!r:.100}"
            )
    return checked


def scored_copy(document: Document, *, score: float | None, rank: int) -> Document:
    """Copy a document, of whatever subclass, with its score and former rank in the metadata.

    Args:
        document: Left as it is, its metadata too.
        score: ``relevance_score`` of the copy; replaces one that an earlier stage left. None: the
            copy has no ``relevance_score``.
        rank: ``retrieval_rank`` of the copy: its index, from 0, in the list before reranking.
    """
    metadata = {**document.metadata, "relevance_score": score, "retrieval_rank": rank}
    if score is None:
        del metadata["relevance_score"]
    return document.model_copy(update={"metadata": metadata})
