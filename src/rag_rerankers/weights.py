"""Reads models from a folder without ever running what the folder brings."""

from __future__ import annotations

import json
import logging
import os
import pickle
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag_rerankers.errors import ModelLoadError, UnsafeWeightsError
from rag_rerankers.quiet import quiet_transformers

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

__all__ = [
    "load_config",
    "load_model",
    "load_tensors",
    "load_tokenizer",
    "read_json",
    "read_modules",
]

logger = logging.getLogger(__name__)

_HEAD_WEIGHTS = ("classifier.", "pre_classifier.", "score.", "out_proj.")
_TOKENIZER_FILES = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "sentencepiece.bpe.model",
    "spiece.model",
    "spm.model",
    "tokenizer.model",
)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file; empty if there is no such file.

    Raises:
        ModelLoadError: The file is not a JSON object.
    """
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError) as error:
        raise ModelLoadError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(value, dict):
        raise ModelLoadError(f"{path} holds a JSON {type(value).__name__}, not an object")
    return value


def read_modules(folder: Path) -> list[tuple[str, Path]]:
    """Types and folders of a sentence-transformers model's modules, in order.

    Raises:
        ModelLoadError: modules.json is not a list of modules.
    """
    path = folder / "modules.json"
    if not path.is_file():
        return []
    try:
        listed = [
            (str(module["type"]), folder / str(module["path"]))
            for module in json.loads(path.read_text(encoding="utf-8"))
        ]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ModelLoadError(f"{path} is not a list of modules: {error!r}") from error
    for _, part in listed:
        # Lexically: in the hub's cache the files themselves are links to elsewhere.
        if not Path(os.path.normpath(part)).is_relative_to(os.path.normpath(folder)):
            raise ModelLoadError(f"{path} leads out of the model's folder: {part}")
    return listed


def weight_files(folder: Path) -> list[Path]:
    """The weight files of a model: safetensors if there are any, else ``.bin``.

    Raises:
        ModelLoadError: There are none.
    """
    for pattern in ("model*.safetensors", "pytorch_model*.bin"):
        found = sorted(folder.glob(pattern))
        if found:
            return found
    there = ", ".join(sorted(path.name for path in folder.iterdir())[:12]) or "nothing"
    raise ModelLoadError(
        f"{folder} holds no model.safetensors and no pytorch_model.bin (it holds: {there})"
    )


def load_config(folder: Path) -> Any:
    """The model's configuration.

    Raises:
        ModelLoadError: There is none, or transformers does not know the architecture.
    """
    from transformers import AutoConfig

    if not (folder / "config.json").is_file():
        raise ModelLoadError(f"{folder} holds no config.json: it is not a transformers model")
    try:
        return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (ValueError, KeyError, OSError, RecursionError, ImportError) as error:
        raise ModelLoadError(f"{folder / 'config.json'} cannot be used: {error}") from error


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The model's tokenizer.

    Raises:
        ModelLoadError: There is none that transformers can read.
    """
    from transformers import AutoTokenizer

    # transformers 5 makes an empty tokenizer where there are no files, and everything is <unk>.
    if not any((folder / name).is_file() for name in _TOKENIZER_FILES):
        raise ModelLoadError(
            f"{folder} holds no tokenizer files (none of {', '.join(_TOKENIZER_FILES)}): copy them "
            "from the model that it was made from"
        )
    settings = read_json(folder / "tokenizer_config.json")
    # transformers 5 writes a list here, at which transformers 4 stumbles; the tokens themselves
    # are in tokenizer.json.
    listed = isinstance(settings.get("extra_special_tokens"), list)
    extra: dict[str, Any] = {"extra_special_tokens": {}} if listed else {}
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, **extra
        )
    except Exception as error:
        raise ModelLoadError(f"the tokenizer in {folder} cannot be loaded: {error}") from error
    return tokenizer


def load_model(
    auto_class: Any, folder: Path, device: torch.device, dtype: torch.dtype
) -> PreTrainedModel:
    """A model in evaluation mode, with every weight that it needs.

    Args:
        auto_class: ``AutoModel`` or ``AutoModelForSequenceClassification``.
        folder: Where it lies.
        device: Where it is to run.
        dtype: Precision of its weights.

    Raises:
        ModelLoadError: Weights are missing or cannot be read.
        UnsafeWeightsError: The weights hold more than tensors.
    """
    from safetensors import SafetensorError
    from transformers import AutoModel

    safe = weight_files(folder)[0].suffix == ".safetensors"
    config = load_config(folder)
    # A checkpoint must not choose code: some attention implementations are fetched from the hub.
    config._attn_implementation = None
    config.return_dict = True
    try:
        # Its table of unexpected weights says nothing: what matters is checked below.
        with quiet_transformers():
            model, info = auto_class.from_pretrained(
                folder,
                config=config,
                dtype=dtype,
                use_safetensors=safe,
                weights_only=True,
                local_files_only=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
    except pickle.UnpicklingError as error:
        raise _unsafe(folder, error) from error
    except (SafetensorError, EOFError) as error:
        raise _damaged(folder, error) from error
    except ImportError as error:
        raise ModelLoadError(
            f"the model in {folder} needs a package that is not installed: {error}"
        ) from error
    except (ValueError, OSError, RuntimeError, KeyError) as error:
        refusal = _refused_pickle(error)
        if refusal is not None:
            raise _unsafe(folder, refusal) from error
        raise ModelLoadError(f"the model in {folder} cannot be loaded: {error}") from error
    # transformers fills missing weights with random numbers. The pooler is the one part that
    # encoders are published without and that token vectors do not need.
    missing = sorted(
        key
        for key in info["missing_keys"]
        if not ("pooler" in key and "Classification" not in type(model).__name__)
    )
    if missing:
        shown = ", ".join(missing[:4]) + (", ..." if len(missing) > 4 else "")
        raise ModelLoadError(
            f"the weights in {folder} lack {len(missing)} tensors of {type(model).__name__} "
            f"({shown}): this checkpoint was not trained as such a model"
        )
    heads = sorted(key for key in info["unexpected_keys"] if key.startswith(_HEAD_WEIGHTS))
    if heads and auto_class is AutoModel:
        raise ModelLoadError(
            f"the weights in {folder} hold a classification head ({heads[0]}), but its config.json "
            'does not say so: add its class, such as "architectures": '
            '["XLMRobertaForSequenceClassification"]'
        )
    loaded: PreTrainedModel = model.to(device).eval()
    return loaded


def load_tensors(folder: Path, names: tuple[str, ...]) -> dict[str, torch.Tensor]:
    """Single tensors by name, float32, on the CPU; names that do not exist are left out.

    Raises:
        UnsafeWeightsError: A ``.bin`` file holds more than tensors.
    """
    found: dict[str, torch.Tensor] = {}
    for path in weight_files(folder):
        if path.suffix == ".safetensors":
            from safetensors import SafetensorError, safe_open

            try:
                with safe_open(path, framework="pt") as file:
                    keys = set(file.keys())
                    found |= {name: file.get_tensor(name) for name in names if name in keys}
            except SafetensorError as error:
                raise _damaged(path, error) from error
        else:
            import torch

            try:
                state = torch.load(
                    path,
                    map_location="cpu",
                    weights_only=True,
                    mmap=zipfile.is_zipfile(path),  # the format of torch before 1.6 is no zip file
                )
            except pickle.UnpicklingError as error:
                raise _unsafe(folder, error) from error
            except (RuntimeError, EOFError, OSError) as error:
                raise _damaged(path, error) from error
            found |= {name: state[name] for name in names if name in state}
    return {name: tensor.float() for name, tensor in found.items()}


def _refused_pickle(error: BaseException | None) -> BaseException | None:
    """What torch's weights-only loader said, however deep transformers has wrapped it."""
    while error is not None:
        if isinstance(error, pickle.UnpicklingError):
            return error
        error = error.__cause__ or error.__context__
    return None


def _damaged(path: Path, error: Exception) -> ModelLoadError:
    return ModelLoadError(
        f"the weights in {path} are damaged ({error}): an interrupted download, or a git-lfs "
        "pointer in place of the file. Fetch them again"
    )


def _unsafe(folder: Path, error: BaseException) -> UnsafeWeightsError:
    first_line = str(error).strip().split("\n")[0]
    return UnsafeWeightsError(
        f"the .bin weights in {folder} hold more than tensors, which could run code when loaded: "
        f"refused ({first_line}). Ask for a safetensors version of the model"
    )
