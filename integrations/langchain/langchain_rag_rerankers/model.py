"""Which model an adapter uses and how it is loaded: shared by all adapters of this package."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SkipValidation,
    ValidationError,
    ValidatorFunctionWrapHandler,
    field_validator,
)
from rag_rerankers import (
    ModelOptions,
    RankedDocument,
    Reranker,
    Scorer,
    TokenStore,
    Warmed,
    ashared_reranker,
    shared_reranker,
)
from rag_rerankers.remote.endpoint import shown

__all__ = ["ModelFields"]


class ModelFields(BaseModel):
    """Fields and loading that every adapter has.

    Values are checked by the core, not coerced by pydantic: a core that is strict about ``True``
    or ``"5"`` as a number must not be bypassed by an adapter.
    """

    # Errors do not repeat the arguments: an API key may be among them.
    model_config = ConfigDict(
        extra="forbid", arbitrary_types_allowed=True, hide_input_in_errors=True
    )

    model: Annotated[str | os.PathLike[str] | Reranker | Scorer, SkipValidation] = "minilm-maxsim"
    """An alias, a hub id, a folder, the URL of a server, a ready ``Reranker``, or any object with a
    ``score`` method.

    A model given by name is loaded at first use, once per process and configuration, however many
    adapters ask for it. A ready object is used as it is.
    """

    scores: Literal["relevance", "raw"] = "relevance"
    """``"relevance"`` (0..1), or the model's own ``"raw"`` score (a logit, or a sum of maxima)."""

    device: Annotated[str, SkipValidation] = "auto"
    """``"auto"`` (CUDA if there is one, else CPU), or what ``torch.device`` takes."""

    dtype: Annotated[str, SkipValidation] = "auto"
    """``"auto"``, ``"float32"``, ``"bfloat16"``, ``"float16"`` or ``"int8"``."""

    max_length: Annotated[int | None, SkipValidation] = None
    """Tokens that the model reads. None: the model's own default."""

    revision: Annotated[str | None, SkipValidation] = None
    """Branch, tag or commit on the hub. None: the alias's, or ``main``."""

    long_documents: Annotated[str, SkipValidation] = "truncate"
    """``"truncate"`` (cut, and warn), or ``"max_passage"`` (best of overlapping windows)."""

    batch_tokens: Annotated[int | None, SkipValidation] = None
    """Tokens per forward pass. None: chosen for the device."""

    local_files_only: Annotated[bool, SkipValidation] = False
    """Never ask the hub; ``HF_HUB_OFFLINE=1`` does the same."""

    store: Annotated[str | os.PathLike[str] | TokenStore | None, SkipValidation] = None
    """Folder that keeps the token vectors of texts (late interaction), or a ``TokenStore``."""

    on_failure: Annotated[str, SkipValidation] = "raise"
    """``"raise"``, or ``"keep_order"``: where scoring fails, the documents come back as they were,
    with a warning and without a score."""

    api_key: Annotated[str | None, SkipValidation] = Field(default=None, repr=False, exclude=True)
    """For a URL. None: ``RAG_RERANKERS_API_KEY``, if it is set. Not part of a dump."""

    timeout: Annotated[float | None, SkipValidation] = None
    """For a URL: seconds for a whole call, retries included. None: 60."""

    @field_validator("scores", mode="wrap")
    @classmethod
    def _tell_value(cls, value: Any, read: ValidatorFunctionWrapHandler) -> Any:
        # pydantic's own message would hold it only together with all arguments.
        try:
            return read(value)
        except ValidationError as error:
            raise ValueError(f"{error.errors()[0]['msg']}, not {value!r:.100}") from None

    def __repr_args__(self) -> Any:
        """The fields, without the password that a URL may have."""
        for name, value in super().__repr_args__():
            yield name, shown(value) if name == "model" and isinstance(value, str) else value

    def model_post_init(self, context: Any, /) -> None:
        """Refuse at construction what could only fail at first use."""
        self._options()
        if not isinstance(self.model, (str, os.PathLike)):
            self._load()

    def warm(self, texts: Sequence[str]) -> Warmed:
        """Encode texts into the ``store``; see :meth:`rag_rerankers.Reranker.warm`.

        Raises:
            StoreError: The store cannot be written.
            ValueError: There is no store.
        """
        return self._load().warm(texts)

    def _options(self) -> ModelOptions:
        return ModelOptions(
            device=self.device,
            dtype=self.dtype,
            max_length=self.max_length,
            revision=self.revision,
            long_documents=self.long_documents,
            batch_tokens=self.batch_tokens,
            local_files_only=self.local_files_only,
            store=self.store,
            on_failure=self.on_failure,
            api_key=self.api_key,
            timeout=self.timeout,
        )

    def _load(self) -> Reranker:
        # No handle is kept here: the process-wide table is the only cache, so that copies,
        # pickles and changed fields can never meet a stale model.
        options = self._options()
        if isinstance(self.model, Reranker):
            options.refuse_unless_default(self.model)
            return self.model
        if isinstance(self.model, (str, os.PathLike)):
            return shared_reranker(self.model, options)
        return Reranker(self.model, **options.as_kwargs())

    async def _aload(self) -> Reranker:
        if isinstance(self.model, (str, os.PathLike)):
            # Loading takes seconds, and waits for whoever is loading the same model already.
            return await ashared_reranker(self.model, self._options())
        return self._load()

    def _score_of(self, hit: RankedDocument) -> float:
        return hit.score if self.scores == "raw" else hit.relevance
