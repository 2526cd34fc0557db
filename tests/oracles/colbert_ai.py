"""colbert-ai's own code as a live reference: `Checkpoint` and `colbert_score`, on the CPU.

Two repairs make version 0.2.22 load a model here, and neither touches the maths. transformers 5
sets up tied weights in ``post_init``, which colbert-ai's model class never calls (ColBERT PR#412).
And the CPU start-up compiles a C++ extension that only `colbert_score_packed` uses: marked as
loaded, it is not built.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch


def _repaired(class_factory: Any) -> Any:
    def factory(name_or_path: str) -> Any:
        made = class_factory(name_or_path)
        plain = made.init_weights

        def init_weights(self: Any) -> None:
            if hasattr(self, "all_tied_weights_keys") or self.__dict__.get("_initialising"):
                plain(self)
            else:
                self.__dict__["_initialising"] = True
                self.post_init()

        made.init_weights = init_weights
        return made

    factory.repaired = True  # type: ignore[attr-defined]
    return factory


def checkpoint(folder: str | Path) -> Any:
    """colbert-ai's `Checkpoint` of a local folder."""
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    from colbert.infra import ColBERTConfig
    from colbert.modeling import base_colbert
    from colbert.modeling.checkpoint import Checkpoint
    from colbert.modeling.colbert import ColBERT

    if not hasattr(base_colbert.class_factory, "repaired"):
        base_colbert.class_factory = _repaired(base_colbert.class_factory)
    ColBERT.loaded_extensions = True
    path = str(Path(folder).resolve())  # colbert-ai takes a relative a/b for a repository
    return Checkpoint(path, colbert_config=ColBERTConfig(checkpoint=path, gpus=0), verbose=0)


def score(
    folder: str | Path, query: str, texts: Sequence[str], *, loaded: Any = None
) -> list[float]:
    """Scores in the order of `texts`, all in one padded batch; `loaded` is a `checkpoint`."""
    made = loaded if loaded is not None else checkpoint(folder)
    from colbert.modeling.colbert import colbert_score

    asked = made.queryFromText([query])
    ids, attended = made.doc_tokenizer.tensorize(list(texts))
    vectors, mask = made.doc(ids, attended, keep_dims="return_mask")
    with torch.no_grad():
        return [
            float(value)
            for value in colbert_score(asked, vectors, mask, config=made.colbert_config)
        ]
