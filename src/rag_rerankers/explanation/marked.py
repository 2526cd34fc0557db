"""Query and text as HTML, each token shaded by what it holds of the score."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from rag_rerankers.explanation.segments import Segment, segments
from rag_rerankers.explanation.words import escaped, number, one_line, scale, share

if TYPE_CHECKING:
    from rag_rerankers.explanation.records import Explanation, TokenMatch

__all__ = ["marked_query", "marked_text"]

# Characters before and behind the passage that are shown.
_AROUND = 400


def marked_query(explanation: Explanation) -> str:
    """The query: each token is the darker, the better its match."""
    full = scale(explanation)

    def mark(segment: Segment) -> str:
        found = [explanation.matches[i] for i in segment.tokens]
        tip = _listed((match.matched.text, match.similarity) for match in found)
        weight = max(match.similarity for match in found) / full
        return _mark(segment, weight, f"matches {tip}")

    return _quote(segments(explanation.query, [m.token for m in explanation.matches]), mark)


def marked_text(explanation: Explanation) -> str:
    """The text: each token is the darker, the more of the score it holds."""
    tokens, held = explanation.tokens, explanation.contributions
    asked: dict[int, list[TokenMatch]] = defaultdict(list)
    for match in explanation.matches:
        asked[match.index].append(match)
    cut = segments(explanation.text, tokens)
    sums = {segment.tokens: sum(held[i] for i in segment.tokens) for segment in cut}
    largest = max([1e-9, *sums.values()])

    def mark(segment: Segment) -> str:
        matches = [match for i in segment.tokens for match in asked.get(i, ())]
        if not matches:
            return escaped(segment.text)
        total = sums[segment.tokens]
        return _mark(segment, total / largest, _tip(total, matches))

    note = (
        "The stronger a token's shade and the thicker the line below it, the more of the score it "
        "holds. Point at one for the figures; the tables below have them too."
    )
    if any(not segment.inside and segment.text.strip() for segment in cut):
        start, end = explanation.passage or (0, 0)
        note += (
            f" Characters {start + 1:,} to {end:,} of {len(explanation.text):,} were compared; "
            "what is small and pale was not."
        )
    apart = sorted(set(asked).difference(*(segment.tokens for segment in cut)))
    items = [
        f"<li><bdi>{escaped(one_line(tokens[i].text))}</bdi>: "
        f"{escaped(_tip(held[i], asked[i]))}</li>"
        for i in apart
    ]
    if items:
        note += " Also matched, but not part of the text:"
    more = f'\n<ul class="apart">{"".join(items)}</ul>' if items else ""
    return f'{_quote(cut, mark)}\n<p class="note">{note}</p>{more}'


def _quote(cut: Sequence[Segment], mark: Callable[[Segment], str]) -> str:
    parts = []
    for place, segment in enumerate(cut):
        if segment.tokens:
            parts.append(mark(segment))
        elif segment.inside:
            parts.append(escaped(segment.text))
        else:
            parts.append(_outside(segment.text, before=place == 0))
    inner = "".join(parts)
    return f'<blockquote dir="auto" lang="" tabindex="0">{inner or "(empty)"}</blockquote>'


def _outside(text: str, *, before: bool) -> str:
    """What surrounds the passage; of a long text only the part beside it."""
    if len(text) > _AROUND:
        text = f"… {text[-_AROUND:]}" if before else f"{text[:_AROUND]} …"
    return f'<span class="outside">{escaped(text)}</span>'


def _mark(segment: Segment, weight: float, tip: str) -> str:
    return (
        f'<mark style="--w:{share(weight)}" title="{escaped(tip)}">{escaped(segment.text)}</mark>'
    )


def _tip(total: float, matches: Sequence[TokenMatch]) -> str:
    """What a token of the text holds of the score; tokens that fill up a query together."""
    told = [(match.token.text, match.similarity) for match in matches if not _fills(match)]
    filling = [match for match in matches if _fills(match)]
    if filling:
        name = f"{len(filling)} × {filling[0].token.text}"
        told.append((name, sum(match.similarity for match in filling)))
    return f"{number(total, 2)} of the score, matched by {_listed(told)}"


def _fills(match: TokenMatch) -> bool:
    return match.token.kind == "expansion"


def _listed(named: Iterable[tuple[str, float]]) -> str:
    return ", ".join(f"{one_line(name)} {number(value, 2)}" for name, value in named)
