"""colbert-ai's four functions in C++: found where they were compiled, or compiled on request.

Two minutes, once; needs a C++ compiler, and ninja on PATH: ``python -m tests.plaid.compiled``
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rag_rerankers.plaid import colbert_ai

__all__ = ["compiled"]


def compiled(name: str) -> Callable[..., Any]:
    """A function of colbert-ai's extensions; skips the test where it was not compiled."""
    from torch.utils.cpp_extension import get_default_build_root

    roots = [os.environ.get("TORCH_EXTENSIONS_DIR"), get_default_build_root()]
    for root in filter(None, roots):
        for built in sorted(Path(root).glob(f"**/{name}.so")):
            spec = importlib.util.spec_from_file_location(name, built)
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            function: Callable[..., Any] = getattr(module, name)
            return function
    pytest.skip(f"colbert-ai's {name} is not compiled: python -m tests.plaid.compiled")


def main() -> None:
    """Compile them."""
    parts = colbert_ai.load()
    from colbert.modeling.colbert import ColBERT

    for owner in (parts.index_scorer, parts.strided_tensor, ColBERT):
        owner.try_load_torch_extensions(False)


if __name__ == "__main__":
    main()
