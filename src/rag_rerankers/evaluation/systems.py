"""Which models are evaluated, under which names."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeAlias

from rag_rerankers.options import ModelOptions
from rag_rerankers.remote.endpoint import shown
from rag_rerankers.reranker import Reranker
from rag_rerankers.scorers.cascade import DEFAULT_KEEP, stage_names
from rag_rerankers.types import Scorer

__all__ = ["Candidate", "Model", "candidates"]

_NUMBERS = ("max_length", "batch_tokens")
# A key would be in every table; a ranking that was skipped must not be measured.
_NOT_WRITTEN = ("api_key", "on_failure")

Model: TypeAlias = str | os.PathLike[str] | Scorer | Reranker


@dataclass(frozen=True)
class Candidate:
    """A model that is to be evaluated.

    Attributes:
        name: What it is called in tables.
        model: A name or folder, or something that is loaded already.
        options: How to load it.
        keep: How many texts a cascade's later models read; None if it is a single model.
    """

    name: str
    model: Model
    options: ModelOptions
    keep: int | None = None

    def load(self) -> Reranker:
        """The reranker.

        Raises:
            ModelLoadError: The model cannot be found or is not a reranker.
        """
        if isinstance(self.model, Reranker):
            return self.model
        if self.keep is not None and isinstance(self.model, str):
            stages = stage_names(self.model)
            return Reranker.cascade(stages, keep=self.keep, **self.options.as_kwargs())
        return Reranker(self.model, **self.options.as_kwargs())


def candidates(
    models: Mapping[str, Model] | Sequence[Model] | str, options: ModelOptions | None = None
) -> list[Candidate]:
    """Give every model a name, and its options.

    Args:
        models: Models, or names to models. A string may carry options of its own:
            ``"minilm-maxsim,dtype=float32,max_length=180"``, and may be a cascade:
            ``"colbertv2>bge-reranker-v2-m3,keep=15"``.
        options: Those of all models that are loaded here.

    Raises:
        ValueError: Two have one name, or an option is unknown.

    Example:
        >>> (one,) = candidates(["minilm-maxsim,dtype=float32"])
        >>> one.model, one.options.dtype
        ('minilm-maxsim', 'float32')
    """
    shared = options or ModelOptions()
    if isinstance(models, str):
        models = [models]
    if isinstance(models, Mapping):
        named = list(models.items())
    else:
        full, short = [_name(model) for model in models], [_short_name(model) for model in models]
        unique = len(set(short)) == len(short)
        named = list(zip(short if unique else full, models, strict=True))
    names = [name for name, _ in named]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ValueError(
            f"two models are called {twice[0]!r}: give a mapping of names to models, or options "
            f"that tell them apart ({twice[0]},dtype=float32)"
        )
    return [_candidate(name, model, shared) for name, model in named]


def _candidate(name: str, model: Model, options: ModelOptions) -> Candidate:
    if not isinstance(model, str):
        ready = not isinstance(model, os.PathLike)
        return Candidate(name, model, ModelOptions() if ready else options)
    model, *settings = model.split(",")
    keep = DEFAULT_KEEP if stage_names(model) else None
    chosen: dict[str, Any] = {}
    for written in settings:
        option, _, value = written.strip().partition("=")
        if keep is not None and option == "keep":
            keep = _keep(value, name)
        else:
            chosen.update([_setting(written, name)])
    return Candidate(name, model, replace(options, **chosen), keep)


def _keep(value: str, model: str) -> int:
    if not value.isdecimal() or int(value) < 1:
        raise ValueError(f"{value!r} in {model!r} is not a value of keep: give 1 or more")
    return int(value)


def _setting(written: str, model: str) -> tuple[str, object]:
    option, equals, value = written.strip().partition("=")
    known = {
        field.name: field.default
        for field in fields(ModelOptions)
        if field.name not in _NOT_WRITTEN
    }
    if not equals or option not in known:
        if option in _NOT_WRITTEN:
            raise ValueError(
                f"{option} in {model.partition(',')[0]!r} is not an option: it is for code, as "
                "ModelOptions; a key may also be in RAG_RERANKERS_API_KEY"
            )
        raise ValueError(
            f"{written!r} in {model!r} is not an option: known are {', '.join(known)} "
            "(as in minilm-maxsim,dtype=float32)"
        )
    if known[option] is None and value.lower() in {"none", "null"}:
        return option, None
    if isinstance(known[option], bool):
        read: object = {"true": True, "false": False}.get(value.lower())
    elif option in _NUMBERS:
        read = int(value) if value.isdecimal() else None
    elif option == "timeout":
        read = float(value) if value.replace(".", "", 1).isdecimal() else None
    else:
        read = value
    if read is None:
        raise ValueError(f"{value!r} in {model!r} is not a value of {option}")
    return option, read


def _name(model: Model) -> str:
    if isinstance(model, Reranker):
        return model.name
    if not isinstance(model, (str, os.PathLike)):
        return type(model).__name__
    name, comma, settings = os.fspath(model).partition(",")
    return shown(name) + comma + settings


def _short_name(model: Model) -> str:
    """Of a local folder only its own name: tables are narrow."""
    name, comma, settings = _name(model).partition(",")
    stages = stage_names(name) if isinstance(model, str) else []
    return ">".join(map(_last_part, stages or [name])) + comma + settings


def _last_part(name: str) -> str:
    return Path(name).resolve().name if Path(name).is_dir() else name
