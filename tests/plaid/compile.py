"""Compiles colbert-ai's four extensions, for the tests that compare with them.

Two minutes, once; needs a C++ compiler, and ninja on PATH: ``python -m tests.plaid.compile``
"""

from __future__ import annotations

from rag_rerankers.plaid import colbert_ai


def main() -> None:
    parts = colbert_ai.load()
    from colbert.modeling.colbert import ColBERT

    for owner in (parts.index_scorer, parts.strided_tensor, ColBERT):
        owner.try_load_torch_extensions(False)


if __name__ == "__main__":
    main()
