"""Arguments: refused at construction when bad, unknown or pointless."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from llama_index.core.callbacks import CallbackManager
from llama_index.core.schema import MetadataMode

from llama_index.postprocessor.rag_rerankers import RagRerank
from rag_rerankers import Reranker


@pytest.mark.parametrize(
    ("fields", "error", "match"),
    [
        ({"model": 5}, ValueError, "not 5"),
        ({"model": None}, ValueError, "not None"),
        ({"model": " "}, ValueError, "not ' '"),
        ({"model": b"bytes"}, ValueError, "not b'bytes'"),
        ({"top_n": -1}, ValueError, "not -1"),
        ({"top_n": "5"}, TypeError, "not '5'"),
        ({"top_n": True}, TypeError, "not True"),
        ({"top_n": 2.5}, TypeError, r"not 2\.5"),
        ({"threshold": 1.5}, ValueError, r"is 1\.5"),
        ({"threshold": float("nan")}, ValueError, "is nan"),
        ({"threshold": "0.5"}, TypeError, r"not '0\.5'"),
        ({"scores": "logits"}, ValueError, "'relevance' or 'raw'.*'logits'"),
        ({"metadata_mode": "some"}, ValueError, "'embed'.*'some'"),
        ({"keep_retrieval_score": "yes"}, ValueError, "'yes'"),
        ({"device": 0}, TypeError, "not 0"),
        ({"dtype": "int3"}, ValueError, "not 'int3'"),
        ({"max_length": 0}, ValueError, "not 0"),
        ({"max_length": "12"}, TypeError, "not '12'"),
        ({"revision": 1}, TypeError, "not 1"),
        ({"long_documents": "drop"}, ValueError, "not 'drop'"),
        ({"batch_tokens": -4}, ValueError, "not -4"),
        ({"local_files_only": "no"}, TypeError, "not 'no'"),
    ],
)
def test_bad_values(fields: dict[str, Any], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=f"(?s){next(iter(fields))}.*{match}"):
        RagRerank(**fields)


def test_unknown_fields_are_named_with_a_remedy() -> None:
    with pytest.raises(ValueError, match=r"no argument model_name.*'x'.*mean model\?.*top_n"):
        RagRerank(model_name="x")  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="no argument use_fp16"):
        RagRerank.from_dict({"class_name": "RagRerank", "use_fp16": True})


def test_a_class_is_not_a_scorer(overlap: Any) -> None:
    for model in (type(overlap), Reranker):
        with pytest.raises(ValueError, match=r"model must be .* not <class"):
            RagRerank(model=model)  # type: ignore[arg-type]


def test_options_of_a_ready_model_are_refused(overlap: Any) -> None:
    for model in (overlap, Reranker(overlap)):
        with pytest.raises(ValueError, match=r"max_length, local_files_only cannot be set"):
            RagRerank(model=model, max_length=64, local_files_only=True)


def test_a_ready_rerankers_options_show() -> None:
    ready = Reranker(device="cpu", dtype="float32", max_length=64)
    rerank = RagRerank(model=ready)
    assert (rerank.device, rerank.dtype, rerank.max_length) == ("cpu", "float32", 64)
    assert RagRerank(model=ready, device="cpu", dtype="float32", max_length=64).model is ready
    with pytest.raises(ValueError, match="device cannot be set"):
        RagRerank(model=ready, device="cuda")


def test_a_path_becomes_its_name(tmp_path: Path) -> None:
    assert RagRerank(model=tmp_path).model == str(tmp_path)


def test_assignment_is_checked(overlap: Any, nodes: Any) -> None:
    rerank = RagRerank(model=overlap)
    rerank.top_n = 1
    rerank.metadata_mode = "none"  # type: ignore[assignment]
    assert rerank.metadata_mode is MetadataMode.NONE
    assert len(rerank.postprocess_nodes(nodes, query_str="red")) == 1
    with pytest.raises(ValueError, match="not -1"):
        rerank.top_n = -1
    with pytest.raises(ValueError, match="'logits'"):
        rerank.scores = "logits"  # type: ignore[assignment]
    for name, value in {"model": "other", "device": "cpu", "max_length": 3}.items():
        with pytest.raises(ValueError, match="frozen"):
            setattr(rerank, name, value)
    assert (rerank.top_n, rerank.model) == (1, overlap)


def test_engines_may_assign_the_callback_manager(overlap: Any) -> None:
    rerank, manager = RagRerank(model=overlap), CallbackManager()
    rerank.callback_manager = manager
    assert rerank.callback_manager is manager
