"""The routes: a body in, told apart by what it holds, an answer out."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from rag_rerankers import __version__
from rag_rerankers.server import explained, schemas
from rag_rerankers.server.answers import Answer, say_as_tei
from rag_rerankers.server.bodies import Room, read_json
from rag_rerankers.server.dialects import cohere, native, score, tei
from rag_rerankers.server.dialects.job import Job, checked
from rag_rerankers.server.openapi import ERRORS, body_of
from rag_rerankers.server.problems import Problem
from rag_rerankers.server.service import Service

__all__ = ["make_router"]

_BODIES = 16
"""Largest bodies that are received at once, or any number of smaller ones."""


def make_router(service: Service) -> APIRouter:
    """All routes of a server but its playground."""
    router = APIRouter()
    settings = service.settings

    room = Room(_BODIES * settings.max_body_bytes)

    async def body_from(request: Request) -> dict[str, Any]:
        return await read_json(
            request, room, max_bytes=settings.max_body_bytes, seconds=settings.body_timeout
        )

    async def rerank(request: Request) -> Response:
        """Rerank documents, in the dialect of the body.

        With `documents`: Cohere, Jina, infinity, vLLM. With `texts`: text-embeddings-inference.
        """
        body = await body_from(request)
        if "texts" in body and "documents" in body:
            raise Problem(
                422,
                "the body has both documents and texts: send documents to be answered as by "
                "Cohere, texts to be answered as by text-embeddings-inference",
            )
        if "texts" in body:
            say_as_tei(request)
            job, as_list = tei.parse(body)
            [outcome] = await service.rank([job], request)
            return Answer(as_list(outcome))
        job, as_results = cohere.parse(body)
        [outcome] = await service.rank([job], request)
        return Answer(as_results(outcome))

    for path in ("/rerank", "/v1/rerank", "/v2/rerank"):
        router.add_api_route(
            path,
            rerank,
            methods=["POST"],
            operation_id=f"rerank{path.removesuffix('/rerank').replace('/', '_')}",
            tags=["rerank"],
            response_model=None,
            responses=ERRORS | {200: {"model": schemas.RerankedBody | list[schemas.TeiHit]}},
            openapi_extra=body_of("RerankBody", "TeiBody"),
        )

    async def scores(request: Request) -> Response:
        """Score pairs of texts, as vLLM does: in their order, not sorted."""
        jobs, as_data = score.parse(await body_from(request))
        return Answer(as_data(await service.rank(jobs, request)))

    for path in ("/score", "/v1/score"):
        router.add_api_route(
            path,
            scores,
            methods=["POST"],
            operation_id=f"score{path.removesuffix('/score').replace('/', '_')}",
            tags=["rerank"],
            response_model=None,
            responses=ERRORS | {200: {"model": schemas.ScoredBody}},
            openapi_extra=body_of("ScoreBody"),
        )

    @router.post(
        "/rank",
        tags=["rerank"],
        response_model=None,
        responses=ERRORS | {200: {"model": schemas.RankedBody}},
        openapi_extra=body_of("RankBody"),
    )
    async def rank(request: Request) -> Response:
        """Rank texts as `Reranker.rank` does: raw scores and relevance."""
        job, as_hits = native.parse(await body_from(request))
        [outcome] = await service.rank([job], request)
        return Answer(as_hits(outcome))

    @router.post(
        "/explain",
        tags=["rerank"],
        response_model=None,
        responses=ERRORS | {200: {"model": schemas.ExplainedBody}},
        openapi_extra=body_of("ExplainBody"),
    )
    async def explain(request: Request) -> Response:
        """Tell which token of a text each token of the query matched."""
        asked = checked(schemas.ExplainBody, await body_from(request))
        job = Job(query=asked.query, texts=[asked.text], model=asked.model)
        model = service.models.find(asked.model)
        if not model.explains:
            raise Problem(
                400,
                f"{model.name!r} ({model.kind}) cannot be explained: only late-interaction models "
                "compare the tokens of query and text one by one",
            )
        explanation, model = await service.run(
            lambda reranker: reranker.explain(job.query, job.texts[0]), job, request
        )
        return Answer(explained.as_json(explanation, model.name))

    async def models() -> Response:
        """List the models that are served."""
        data = [
            {
                "id": model.name,
                "object": "model",
                "created": model.created,
                "owned_by": "rag-rerankers",
                "kind": model.kind,
                "explains": model.explains,
                "max_length": model.max_length,
                "default": number == 0,
            }
            for number, model in enumerate(service.models)
        ]
        return Answer({"object": "list", "data": data})

    for path in ("/models", "/v1/models"):
        router.add_api_route(
            path,
            models,
            methods=["GET"],
            operation_id=f"models{path.removesuffix('/models').replace('/', '_')}",
            tags=["server"],
            response_model=None,
            responses={200: {"model": schemas.ModelList}, 401: ERRORS[401]},
        )

    async def live() -> Response:
        """Whether the process answers."""
        return Answer({"status": "live", "version": __version__})

    for path in ("/health", "/health/live"):
        router.add_api_route(
            path,
            live,
            methods=["GET"],
            operation_id="live" if path.endswith("live") else "health",
            tags=["server"],
            response_model=None,
            responses={200: {"model": schemas.Health}},
        )

    @router.get(
        "/health/ready",
        tags=["server"],
        response_model=None,
        responses={200: {"model": schemas.Health}, 503: ERRORS[503]},
    )
    async def ready() -> Response:
        """Whether all models are loaded and requests are let in."""
        service.gate.check_open()
        service.models.check()
        return Answer({"status": "ready", "version": __version__})

    @router.get(
        "/metrics",
        tags=["server"],
        response_model=None,
        responses={
            200: {"content": {"text/plain": {"schema": {"type": "string"}}}},
            401: ERRORS[401],
        },
    )
    async def metrics() -> Response:
        """What the server has counted, for Prometheus."""
        service.metrics.ready.set(service.ready)
        content_type = {"Content-Type": service.metrics.CONTENT_TYPE}
        return Response(service.metrics.text(), headers=content_type)

    return router
