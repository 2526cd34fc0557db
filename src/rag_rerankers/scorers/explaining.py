"""Which token matched which: late interaction, taken apart."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch

from rag_rerankers.explanation import Span, Token, TokenKind, TokenMatch
from rag_rerankers.scorers.recipe import Side
from rag_rerankers.scorers.token_encoder import EncodedQuery, TokenEncoder
from rag_rerankers.tokenization import TokenSequence
from rag_rerankers.windows import split_documents

__all__ = ["BestPassage", "best_passage", "match", "query_tokens", "with_skipped"]

BLANK = "␣"


class BestPassage(NamedTuple):
    """What was compared with the query.

    Attributes:
        score: Sum over the query's vectors of the best similarity.
        similarities: Shape (query tokens that are compared, tokens that are compared), float32,
            on the CPU.
        tokens: All tokens of the passage, also those that are not compared.
        n_cut: 1 where tokens of the text were lost, else 0.
    """

    score: float
    similarities: torch.Tensor
    tokens: list[Token]
    n_cut: int


def best_passage(encoder: TokenEncoder, asked: EncodedQuery, text: str) -> BestPassage:
    """Compare a query with a text; of one in several windows, the best is kept."""

    def compare(vectors: torch.Tensor, lengths: list[int]) -> list[torch.Tensor]:
        found = asked.vectors.float() @ vectors.float().T
        return list(found.cpu().split(lengths, dim=1))

    passages, job = encoder.start([text], compare)

    def compared() -> Iterator[tuple[float, int, torch.Tensor]]:
        for indices, batch in job:
            for index, similarities in zip(indices, batch, strict=True):
                yield float(similarities.amax(dim=1).sum()), index, similarities

    with job:
        # A NaN wins over everything, so that it is refused later and not hidden.
        score, best, similarities = max(
            compared(), key=lambda one: (math.inf if math.isnan(one[0]) else one[0], -one[1])
        )
    return BestPassage(score, similarities, _passage_tokens(encoder, text, best), passages.n_cut)


def query_tokens(encoder: TokenEncoder, query: str) -> list[Token]:
    """The tokens of a query that are compared."""
    ids, _, room = encoder.query_ids(query)
    side = encoder.recipe.query
    spans = encoder.located(query, side)[:room]
    n_own = len(encoder.recipe.wrap(ids, side))
    sequence = encoder.recipe.query_sequence(ids)
    tokens = _tokens(encoder, sequence, query, spans, side, n_own)
    return [token for token in tokens if token.kind != "skipped"]


def _passage_tokens(encoder: TokenEncoder, text: str, index: int) -> list[Token]:
    side = encoder.recipe.document
    spans = encoder.located(text, side)
    # The same cut as the ids': which tokens of the text the passage has.
    places = split_documents([range(len(spans))], encoder.room, encoder.long_documents)
    _, sequences = encoder.split([text])
    sequence = sequences[index]
    own = [spans[place] for place in places.ids[index]]
    return _tokens(encoder, sequence, text, own, side, len(sequence.ids))


def match(
    asked: Sequence[Token], tokens: Sequence[Token], similarities: Sequence[Sequence[float]]
) -> tuple[TokenMatch, ...]:
    """The best token of the text for each of the query.

    Args:
        asked: Tokens of the query that are compared.
        tokens: Tokens of the text.
        similarities: Shape (asked, tokens).
    """
    matches = []
    for token, row in zip(asked, similarities, strict=True):
        index = max(range(len(row)), key=row.__getitem__)
        matches.append(TokenMatch(token, tokens[index], index, row[index]))
    return tuple(matches)


def with_skipped(
    similarities: torch.Tensor, tokens: Sequence[Token]
) -> tuple[tuple[float, ...], ...]:
    """Similarities of all tokens: -inf where one is skipped."""
    whole = similarities.new_full((len(similarities), len(tokens)), -math.inf)
    whole[:, torch.tensor([token.kind != "skipped" for token in tokens])] = similarities
    return tuple(map(tuple, whole.tolist()))


def _tokens(
    encoder: TokenEncoder,
    sequence: TokenSequence,
    text: str,
    spans: Sequence[Span | None],
    side: Side,
    n_own: int,
) -> list[Token]:
    """Every token of a sequence.

    Args:
        encoder: What made it.
        sequence: What the model reads.
        text: The text in it.
        spans: Of the text's tokens that are in the sequence.
        side: Query or document.
        n_own: Tokens before those that fill up the sequence.
    """
    first = encoder.n_before(side)
    kept = encoder.kept(sequence.ids, side)
    tokens = []
    for place, (id_, keep) in enumerate(zip(sequence.ids, kept, strict=True)):
        in_text = first <= place < first + len(spans)
        span = spans[place - first] if in_text else None
        kind: TokenKind = "text" if in_text else "special" if place < n_own else "expansion"
        shown = encoder.tokenizer.token(id_) if span is None else text[slice(*span)]
        tokens.append(Token(shown if shown.strip() else BLANK, kind if keep else "skipped", span))
    return tokens
