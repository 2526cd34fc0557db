"""What a late-interaction score is made of: each query token, and the token that it matched."""

from __future__ import annotations

from rag_rerankers.explanation.records import Explanation, Span, Token, TokenKind, TokenMatch

__all__ = ["Explanation", "Span", "Token", "TokenKind", "TokenMatch"]
