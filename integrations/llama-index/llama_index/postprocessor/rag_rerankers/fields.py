"""The arguments of RagRerank: checked, copied, pickled and serialised."""

from __future__ import annotations

import difflib
import os
import pickle
from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Any, Literal

from llama_index.core.bridge.pydantic import (
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    field_serializer,
    field_validator,
    model_validator,
)
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import MetadataMode
from pydantic import ValidatorFunctionWrapHandler

from rag_rerankers import ModelOptions, Reranker, Scorer, TokenStore
from rag_rerankers.ranking import check_threshold, check_top_n
from rag_rerankers.remote.endpoint import shown
from rag_rerankers.reranker import DEFAULT_MODEL

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["RerankFields"]

_OPTIONS = tuple(field.name for field in fields(ModelOptions))


class RerankFields(BaseNodePostprocessor):
    """What RagRerank can be told; RagRerank itself does the work."""

    # Engines assign callback_manager; users assign top_n: both are checked like at construction.
    # Errors do not repeat the arguments: an API key may be among them.
    model_config = ConfigDict(
        arbitrary_types_allowed=True, validate_assignment=True, hide_input_in_errors=True
    )

    model: Annotated[
        str | os.PathLike[str] | Reranker | Scorer, WithJsonSchema({"type": "string"})
    ] = Field(
        default=DEFAULT_MODEL,
        frozen=True,
        description="An alias, a hub id, a folder, a server's URL, a ready Reranker, any Scorer.",
    )
    top_n: int | None = Field(default=5, description="Nodes to keep. None keeps all.")
    threshold: float | None = Field(
        default=None, description="Keep only nodes whose relevance (0..1) is at least this."
    )
    scores: Literal["relevance", "raw"] = Field(
        default="relevance",
        description="What the nodes' score is: 'relevance' in 0..1, or the model's 'raw' score.",
    )
    metadata_mode: MetadataMode = Field(
        default=MetadataMode.EMBED, description="Which metadata is part of the text scored."
    )
    keep_retrieval_score: bool = Field(
        default=False,
        strict=True,
        description="Write retrieval_score and retrieval_rank into the metadata of a copy.",
    )
    device: str = Field(
        default="auto", frozen=True, description="'auto', 'cpu', 'cuda', 'cuda:1', 'mps'."
    )
    dtype: str = Field(
        default="auto",
        frozen=True,
        description="'auto', 'float32', 'bfloat16', 'float16' or 'int8'.",
    )
    max_length: int | None = Field(
        default=None, frozen=True, description="Tokens that the model reads. None: its default."
    )
    revision: str | None = Field(
        default=None, frozen=True, description="Branch, tag or commit on the hub."
    )
    long_documents: str = Field(
        default="truncate",
        frozen=True,
        description="'truncate' cuts long texts; 'max_passage' scores windows, keeps the best.",
    )
    batch_tokens: int | None = Field(
        default=None, frozen=True, description="Tokens per forward pass. None: by device."
    )
    local_files_only: bool = Field(default=False, frozen=True, description="Never ask the hub.")
    store: Annotated[
        str | os.PathLike[str] | TokenStore | None,
        WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "null"}]}),
    ] = Field(
        default=None,
        frozen=True,
        description="Folder that keeps token vectors (late interaction), or a TokenStore.",
    )
    on_failure: str = Field(
        default="raise",
        frozen=True,
        description="'raise', or 'keep_order': where scoring fails, nodes as they were, unscored.",
    )
    api_key: str | None = Field(
        default=None,
        frozen=True,
        repr=False,
        exclude=True,
        description="For a URL; None: RAG_RERANKERS_API_KEY. Not part of a dump.",
    )
    timeout: float | None = Field(
        default=None, frozen=True, description="For a URL: seconds for a whole call. None: 60."
    )

    _ready: tuple[tuple[str, ModelOptions], Reranker] | None = PrivateAttr(default=None)

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown(cls, given: Any) -> Any:
        # The base class ignores what it does not know: a misspelt option would do nothing.
        known = list(cls.model_fields)
        for name in given if isinstance(given, dict) else ():
            if name not in known and name != "class_name":
                close = difflib.get_close_matches(str(name), known, n=1)
                hint = f" Did you mean {close[0]}?" if close else ""
                raise ValueError(
                    f"{cls.__name__} has no argument {name} (given: {given[name]!r:.100}).{hint} "
                    f"It takes {', '.join(known)}"
                )
        return given

    @field_validator("model", mode="plain")
    @classmethod
    def _check_model(cls, model: object) -> str | Reranker | Scorer:
        if isinstance(model, (str, os.PathLike)):
            name = os.fspath(model)
            if isinstance(name, str) and name.strip():
                return name
        elif isinstance(model, (Reranker, Scorer)) and not isinstance(model, type):
            return model
        raise ValueError(
            "model must be a name, a folder, a Reranker or an object with a score method, "
            f"not {model!r:.200}"
        )

    @field_validator("scores", "metadata_mode", "keep_retrieval_score", mode="wrap")
    @classmethod
    def _tell_value(cls, value: Any, read: ValidatorFunctionWrapHandler) -> Any:
        # pydantic's own message would hold it only together with all arguments.
        try:
            return read(value)
        except ValidationError as error:
            raise ValueError(f"{error.errors()[0]['msg']}, not {value!r:.100}") from None

    @field_validator("top_n", mode="before")
    @classmethod
    def _check_top_n(cls, top_n: Any) -> Any:
        check_top_n(top_n)
        return top_n

    @field_validator("threshold", mode="before")
    @classmethod
    def _check_threshold(cls, threshold: Any) -> Any:
        check_threshold(threshold)
        return threshold

    @field_validator(*_OPTIONS, mode="before")
    @classmethod
    def _check_option(cls, value: Any, info: ValidationInfo) -> Any:
        options = ModelOptions(**{str(info.field_name): value})
        return getattr(options, str(info.field_name))

    @model_validator(mode="after")
    def _adopt_options(self) -> Self:
        options = self._options()
        if isinstance(self.model, Reranker):
            # From here on the fields say what is in use, and a dump by name brings it back.
            if options != self.model.options:
                options.refuse_unless_default(self.model)
                self.__dict__.update(self.model.options.as_kwargs())
                self.__pydantic_fields_set__.update(_OPTIONS)
        elif not isinstance(self.model, str):
            options.refuse_unless_default(self.model, allowed=("on_failure",))
        return self

    def __repr_args__(self) -> Any:
        for name, value in super().__repr_args__():
            yield name, shown(value) if name == "model" and isinstance(value, str) else value

    @field_serializer("model")
    def _name_of_model(self, model: str | os.PathLike[str] | Reranker | Scorer) -> str:
        name = _name(model)
        if name is None:
            raise TypeError(
                f"{model!r:.200} cannot be written as text: only a model given by name can, or a "
                "Reranker made from a name. Pickle works for any picklable scorer"
            )
        return name

    @field_serializer("store")
    def _path_of_store(self, store: str | os.PathLike[str] | TokenStore | None) -> str | None:
        if not isinstance(store, TokenStore):
            return None if store is None else os.fspath(store)
        if store != TokenStore(store.path):
            raise TypeError(
                f"{store!r} cannot be written as text: only the path of a store with default "
                "settings can. Pickle works for all"
            )
        return str(store.path)

    def __getstate__(self) -> dict[str, Any]:
        # On a copy: the base class deletes what cannot be pickled from the very object.
        clone = self.model_copy()
        # Weights do not travel: the other side loads the model at its first reranking.
        clone._ready = None
        clone.__dict__["model"] = _name(self.model) or self.model
        state = super(RerankFields, clone).__getstate__()
        if "model" not in state["__dict__"]:
            # Else the default model would silently take its place.
            raise pickle.PicklingError(
                f"the model {self.model!r:.200} cannot be pickled: define its class at the top of "
                "a module, or give the model by name"
            )
        return state

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        # A second copy of the weights serves nobody, and handlers want the copy's events too.
        memo = {} if memo is None else memo
        for shared in (self.model, self._ready, self.callback_manager):
            memo[id(shared)] = shared
        return super().__deepcopy__(memo)

    def _options(self) -> ModelOptions:
        return ModelOptions(**{name: getattr(self, name) for name in _OPTIONS})


def _name(model: object) -> str | None:
    if isinstance(model, (str, os.PathLike)):
        return os.fspath(model)
    # A subclass may rank otherwise: its name alone would not bring it back.
    if type(model) is Reranker and isinstance(model.model, (str, os.PathLike)):
        return os.fspath(model.model)
    return None
