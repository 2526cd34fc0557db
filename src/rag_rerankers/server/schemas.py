"""Request and answer bodies of all dialects, as pydantic checks them and OpenAPI shows them.

Strict: ``"5"`` is not a number and ``true`` is not 1. Fields beyond these are let through.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "ErrorBody",
    "ExplainBody",
    "ExplainedBody",
    "Health",
    "ModelList",
    "RankBody",
    "RankedBody",
    "RerankBody",
    "RerankedBody",
    "ScoreBody",
    "ScoredBody",
    "TeiBody",
    "TeiErrorBody",
    "TeiHit",
]

Count = Annotated[int, Field(ge=0, le=2**31 - 1)]
Relevance = Annotated[float, Field(ge=0.0, le=1.0)]
# Some clients write a boolean as a string.
Flag = Annotated[bool | None, Field(strict=False)]
# Of a long list of wrong items one is enough to be told of: naming all takes minutes.
Texts = Annotated[list[str], Field(fail_fast=True)]
Model = Annotated[
    str | None,
    Field(description="Its name here; the first that is served if there is none."),
]


class _Body(BaseModel):
    # Fields that other servers know, and future ones, are no error.
    model_config = ConfigDict(strict=True, extra="ignore")


class TextObject(_Body):
    """A text inside an object, which may hold more."""

    model_config = ConfigDict(strict=True, extra="allow")

    text: str


class RerankBody(_Body):
    """Cohere, Jina, infinity, vLLM and llama.cpp."""

    query: str | TextObject
    documents: list[str | dict[str, Any]] = Field(
        fail_fast=True, description="Strings, or objects with a `text` or with the `rank_fields`."
    )
    model: Model = None
    top_n: Count | None = Field(None, description="Keep this many; 0 or null keeps all.")
    return_documents: Flag = None
    rank_fields: Texts | None = Field(
        None, description="Fields of objects that are read, in this order."
    )
    raw_scores: Flag = Field(
        None, description="The model's own scores instead of relevance in 0..1 (infinity)."
    )
    use_activation: Flag = Field(None, description="`false` is the same as `raw_scores` (vLLM).")
    max_tokens_per_doc: int | None = Field(
        None, description="Not supported: the model's own limit counts, and the answer says so."
    )


class Document(BaseModel):
    """An echoed document: the object that it was, or its text in one."""

    model_config = ConfigDict(extra="allow")

    text: str | None = None


class RerankHit(BaseModel):
    """One document's place."""

    index: int
    relevance_score: float
    document: Document | str | None = None


class Usage(BaseModel):
    """Tokens that the model read."""

    prompt_tokens: int
    total_tokens: int


class RerankedBody(BaseModel):
    """The answer to :class:`RerankBody`: best first."""

    id: str
    object: Literal["rerank"] = "rerank"
    created: int
    model: str
    results: list[RerankHit]
    usage: Usage
    meta: dict[str, Any]


class TeiBody(_Body):
    """text-embeddings-inference."""

    query: str
    texts: Texts
    model: Model = None
    raw_scores: Flag = None
    return_text: Flag = None
    top_n: Count | None = Field(None, description="Keep this many; 0 or null keeps all.")
    truncate: Flag = Field(
        None, description="Texts that are too long are always cut, as with --auto-truncate."
    )
    truncation_direction: Literal["right", "Right"] | None = None


class TeiHit(BaseModel):
    """One text's place."""

    index: int
    score: float
    text: str | None = None


class ScoreBody(_Body):
    """vLLM's score: one text with each of many, or as many with as many."""

    text_1: str | Texts | None = None
    text_2: str | Texts | None = None
    data_1: str | Texts | None = None
    data_2: str | Texts | None = None
    queries: str | Texts | None = None
    documents: str | Texts | None = None
    items: str | Texts | None = None
    model: Model = None
    use_activation: Flag = None


class ScoreItem(BaseModel):
    """The score of one pair."""

    index: int
    object: Literal["score"] = "score"
    score: float


class ScoredBody(BaseModel):
    """The answer to :class:`ScoreBody`: in the order of the pairs."""

    id: str
    object: Literal["list"] = "list"
    created: int
    model: str
    data: list[ScoreItem]
    usage: Usage


class RankBody(_Body):
    """The project's own dialect: ``Reranker.rank``."""

    query: str
    texts: Texts
    model: Model = None
    top_n: Count | None = None
    threshold: Relevance | None = None
    return_texts: Flag = None


class RankHit(BaseModel):
    """One text's place, with its raw score."""

    index: int
    score: float
    relevance: Relevance
    text: str | None = None


class RankedBody(BaseModel):
    """The answer to :class:`RankBody`: best first."""

    model: str
    hits: list[RankHit]
    tokens: int
    truncated: int = Field(description="Texts that were longer than the model reads.")
    seconds: float


class ExplainBody(_Body):
    """``Reranker.explain``."""

    query: str
    text: str
    model: Model = None


class ExplainedToken(BaseModel):
    """A token, and its place in the text."""

    text: str
    kind: Literal["text", "special", "expansion", "skipped"]
    span: tuple[int, int] | None


class ExplainedMatch(BaseModel):
    """Which token of the text a token of the query matched."""

    query_token: int
    token: int
    similarity: float


class ExplainedBody(BaseModel):
    """The answer to :class:`ExplainBody`; a similarity of null is one that cannot count."""

    model: str
    query: str
    text: str
    score: float
    relevance: Relevance
    mean: bool
    query_tokens: list[ExplainedToken]
    tokens: list[ExplainedToken]
    similarities: list[list[float | None]]
    matches: list[ExplainedMatch]


class ModelItem(BaseModel):
    """A model that is served."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: Literal["rag-rerankers"] = "rag-rerankers"
    kind: Literal["late-interaction", "cross-encoder", "cascade", "other", "loading"]
    explains: bool
    max_length: int | None
    default: bool


class ModelList(BaseModel):
    """All models that are served, the default first."""

    object: Literal["list"] = "list"
    data: list[ModelItem]


class ErrorDetail(BaseModel):
    """As OpenAI's clients read it."""

    message: str
    type: str
    code: int


class FieldProblem(BaseModel):
    """A field that is not as it should be."""

    loc: list[str | int]
    msg: str
    type: str


class ErrorBody(BaseModel):
    """What went wrong, as the clients of several servers look for it."""

    message: str
    detail: str | list[FieldProblem]
    error: ErrorDetail


class TeiErrorBody(BaseModel):
    """What went wrong, for clients of text-embeddings-inference."""

    error: str
    error_type: str
    message: str
    detail: str | list[FieldProblem]


class Health(BaseModel):
    """The server is well."""

    status: Literal["live", "ready"]
    version: str
