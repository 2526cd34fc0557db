"""The public surface. A failure here is a decision about the API, not something to fix quickly."""

from __future__ import annotations

import importlib.metadata
import inspect
import subprocess
import sys
from pathlib import Path

from langchain_core.cross_encoders import BaseCrossEncoder
from langchain_core.documents import BaseDocumentCompressor
from langchain_core.retrievers import BaseRetriever
from pydantic_core import PydanticUndefined
from rag_rerankers import Reranker

import langchain_rag_rerankers
from langchain_rag_rerankers import PlaidRetriever, RagCrossEncoder, RagRerank

MODEL_FIELDS = {
    "model": "minilm-maxsim",
    "scores": "relevance",
    "device": "auto",
    "dtype": "auto",
    "max_length": None,
    "revision": None,
    "long_documents": "truncate",
    "batch_tokens": None,
    "local_files_only": False,
    "store": None,
    "on_failure": "raise",
    "api_key": None,
    "timeout": None,
}


def test_exported_names() -> None:
    names = langchain_rag_rerankers.__all__
    assert names == [
        "RERANK_EVENT",
        "PlaidRetriever",
        "RagCrossEncoder",
        "RagRerank",
        "RagWarm",
        "__version__",
    ]
    assert names == sorted(names, key=lambda name: (not name.isupper(), name))
    assert all(hasattr(langchain_rag_rerankers, name) for name in names)


def test_fields_and_defaults() -> None:
    fields = {name: field.default for name, field in RagRerank.model_fields.items()}
    assert fields == {**MODEL_FIELDS, "top_n": 5, "threshold": None}
    fields = {name: field.default for name, field in RagCrossEncoder.model_fields.items()}
    assert fields == MODEL_FIELDS
    own = set(PlaidRetriever.model_fields) - set(BaseRetriever.model_fields)
    fields = {name: PlaidRetriever.model_fields[name].default for name in own}
    assert fields == {"index": PydanticUndefined, "k": 10, "exact": True}


def test_default_model_is_that_of_the_core() -> None:
    assert inspect.signature(Reranker).parameters["model"].default == MODEL_FIELDS["model"]


def test_base_classes_and_signatures() -> None:
    assert issubclass(RagRerank, BaseDocumentCompressor)
    assert issubclass(RagCrossEncoder, BaseCrossEncoder)
    assert issubclass(PlaidRetriever, BaseRetriever)
    for name in ("compress_documents", "acompress_documents"):
        ours = inspect.signature(getattr(RagRerank, name)).parameters
        theirs = inspect.signature(getattr(BaseDocumentCompressor, name)).parameters
        assert [(p.name, p.kind, p.default) for p in ours.values()] == [
            (p.name, p.kind, p.default) for p in theirs.values()
        ]


def test_version_and_typing_marker() -> None:
    version = importlib.metadata.version("langchain-rag-rerankers")
    assert langchain_rag_rerankers.__version__ == version
    assert (Path(inspect.getfile(langchain_rag_rerankers)).parent / "py.typed").is_file()


def test_importing_and_constructing_load_no_model_library() -> None:
    program = (
        "import sys\n"
        "from langchain_rag_rerankers import RagCrossEncoder, RagRerank\n"
        "RagRerank(), RagCrossEncoder(), RagRerank().as_runnable()\n"
        "print(sorted({'torch', 'rag_rerankers.scorers.loading'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip() == "[]"
