"""The public surface, pinned."""

from __future__ import annotations

import inspect
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import MetadataMode

import llama_index.postprocessor.rag_rerankers as package
from llama_index.postprocessor.rag_rerankers import PlaidRetriever, RagRerank
from rag_rerankers import ModelOptions


def test_all_is_sorted_and_exists() -> None:
    assert package.__all__ == sorted(package.__all__) == ["PlaidRetriever", "RagRerank", "RagWarm"]
    assert issubclass(PlaidRetriever, BaseRetriever)
    assert issubclass(RagRerank, BaseNodePostprocessor)


def test_fields_and_defaults_are_pinned() -> None:
    found = {
        name: field.default
        for name, field in RagRerank.model_fields.items()
        if name != "callback_manager"
    }
    assert found == {
        "model": "minilm-maxsim",
        "top_n": 5,
        "threshold": None,
        "scores": "relevance",
        "metadata_mode": MetadataMode.EMBED,
        "keep_retrieval_score": False,
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
    assert all(field.description for name, field in RagRerank.model_fields.items() if name in found)


def test_arguments_of_the_retriever_are_pinned() -> None:
    parameters = inspect.signature(PlaidRetriever.__init__).parameters.values()
    assert [(p.name, p.default) for p in parameters][1:] == [
        ("index", inspect.Parameter.empty),
        ("k", 10),
        ("exact", True),
        ("callback_manager", None),
    ]


def test_every_model_option_is_a_field_with_the_same_default() -> None:
    for option in fields(ModelOptions):
        assert RagRerank.model_fields[option.name].default == option.default, option.name


def test_there_is_a_json_schema() -> None:
    properties = RagRerank.model_json_schema()["properties"]
    assert properties["model"]["type"] == "string"
    assert properties["class_name"]["default"] == "RagRerank"


def test_no_torch_on_import_and_construction() -> None:
    program = (
        "import sys\n"
        "from llama_index.core.schema import NodeWithScore, TextNode\n"
        "from llama_index.postprocessor.rag_rerankers import RagRerank\n"
        "r = RagRerank(model='bge-reranker-v2-m3', device='cpu')\n"
        "RagRerank.from_dict(r.to_dict()).postprocess_nodes([], query_str='q')\n"
        "print([m for m in ('torch', 'transformers') if m in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr


def test_typed_and_no_init_in_the_shared_namespaces() -> None:
    folder = Path(package.__file__).parent
    assert (folder / "py.typed").is_file()
    assert not (folder.parent / "__init__.py").exists()
    assert not (folder.parent.parent / "__init__.py").exists()
