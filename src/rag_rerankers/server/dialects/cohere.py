"""Cohere, Jina, infinity, vLLM, llama.cpp: ``documents`` in, ``results`` out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from rag_rerankers.server.dialects.job import Job, Outcome, checked
from rag_rerankers.server.problems import Problem, shown
from rag_rerankers.server.schemas import RerankBody

__all__ = ["parse"]

Render = Callable[[Outcome], dict[str, Any]]


def parse(body: Mapping[str, Any]) -> tuple[Job, Render]:
    """What is asked for, and what makes the answer.

    Raises:
        Problem: 422, the body is not as the dialect has it.
    """
    asked = checked(RerankBody, body)
    warnings = []
    if asked.max_tokens_per_doc is not None:
        warnings.append("max_tokens_per_doc is not supported: the model's own limit counts")
    job = Job(
        query=asked.query if isinstance(asked.query, str) else asked.query.text,
        texts=[
            _text(number, document, asked.rank_fields)
            for number, document in enumerate(asked.documents)
        ],
        model=asked.model,
        top_n=asked.top_n or None,
        warnings=tuple(warnings),
    )
    raw = bool(asked.raw_scores) or asked.use_activation is False
    echo = _echo(asked, body) if asked.return_documents else None

    def render(outcome: Outcome) -> dict[str, Any]:
        results = []
        for hit in outcome.hits:
            result: dict[str, Any] = {
                "index": hit.index,
                "relevance_score": hit.score if raw else hit.relevance,
            }
            if echo is not None:
                result["document"] = echo(hit.index)
            results.append(result)
        meta: dict[str, Any] = {
            "api_version": {"version": "2"},
            "billed_units": {"search_units": 1},
            "tokens": {"input_tokens": outcome.tokens, "output_tokens": 0},
        }
        told = [*job.warnings, *outcome.warnings]
        if told:
            meta["warnings"] = told
        return {
            "id": f"rerank-{outcome.id}",
            "object": "rerank",
            "created": outcome.created,
            "model": outcome.model,
            "results": results,
            "usage": {"prompt_tokens": outcome.tokens, "total_tokens": outcome.tokens},
            "meta": meta,
        }

    return job, render


def _text(number: int, document: str | Mapping[str, Any], fields: Sequence[str] | None) -> str:
    if isinstance(document, str):
        return document
    if fields:
        return _joined(number, document, fields)
    text = document.get("text")
    if isinstance(text, str):
        return text
    parts = _parts(document.get("content"))
    if parts is not None:
        return "\n".join(parts)
    raise Problem(
        422,
        f"documents.{number}: an object needs a string `text`, or `rank_fields` must name the "
        f"fields to read; it has {_names(document) or 'nothing'}",
    )


def _joined(number: int, document: Mapping[str, Any], fields: Sequence[str]) -> str:
    """The fields of an object, a line each, as Cohere's service is said to read them."""
    lines = []
    for name in fields:
        value = document.get(name)
        if isinstance(value, (dict, list)):
            raise Problem(
                422,
                f"documents.{number}: the field {name!r:.40} must be a string to be read, "
                f"not {shown(value)}",
            )
        if value is not None:
            lines.append(f"{name}: {value}")
    if not lines:
        raise Problem(
            422,
            f"documents.{number}: has none of the rank_fields {_names(fields)}, "
            f"but {_names(document) or 'nothing'}",
        )
    return "\n".join(lines)


def _parts(content: object) -> list[str] | None:
    """The texts of a message's content, as vLLM has it; None if it is anything else."""
    if not isinstance(content, list) or not content:
        return None
    texts = [part.get("text") if isinstance(part, dict) else None for part in content]
    strings = [text for text in texts if isinstance(text, str)]
    return strings if len(strings) == len(texts) else None


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"{name!r:.40}" for name in islice(names, 10))


def _echo(asked: RerankBody, body: Mapping[str, Any]) -> Callable[[int], Any]:
    """What stands for a document in the answer."""
    documents = asked.documents
    # infinity's client always sends this field, and it alone wants the bare text back.
    plain = body.get("raw_scores") is not None

    def echo(index: int) -> Any:
        document = documents[index]
        if plain:
            return _text(index, document, asked.rank_fields)
        return {"text": document} if isinstance(document, str) else document

    return echo
