"""Text to ids: thread-safe, and cut and joined by hand exactly as the reference models do.

A fast tokenizer keeps truncation and padding as shared state, so two threads that ask for
different lengths get each other's. Here a tokenizer has one constant state (no special tokens,
no truncation, no padding); cutting, joining and padding happen on the ids.
"""

from __future__ import annotations

import copy
import os
import re
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from rag_rerankers.cancellation import check_cancelled
from rag_rerankers.errors import ModelLoadError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["LocatedTokens", "PairTemplate", "TextTokenizer", "TokenSequence", "well_formed"]

_CHARS_AT_ONCE = 1_000_000
# How vocabularies mark the begin, the middle or the end of a word.
_MARKS = re.compile("^(?:##|[▁Ġ]+)|</w>$")
_PAIR = re.compile(r"[\ud800-\udbff][\udc00-\udfff]")


class TokenSequence(NamedTuple):
    """One row of input for a transformer.

    Attributes:
        ids: Token ids.
        type_ids: Segment ids, as long as ``ids``; empty stands for all zeros.
        attended: Only the first so many tokens may be looked at by others. None: all.
    """

    ids: Sequence[int]
    type_ids: Sequence[int] = ()
    attended: int | None = None

    @property
    def n_attended(self) -> int:
        """How many tokens may be looked at."""
        return len(self.ids) if self.attended is None else self.attended


class LocatedTokens(NamedTuple):
    """The tokens of a text and where they stand in it.

    Attributes:
        ids: Token ids, without special tokens.
        spans: For each its characters, ``text[start:end]``, without white space around them. None
            where it stands for none of them, and everywhere if the tokenizer cannot tell.
    """

    ids: list[int]
    spans: list[tuple[int, int] | None]


def well_formed(text: str) -> str:
    r"""Repair what UTF-8 cannot hold: surrogate pairs are joined, lone ones become U+FFFD.

    Example:
        >>> well_formed("caf\u00e9") == "caf\u00e9"
        True
        >>> well_formed("a\ud800b") == "a\ufffdb"
        True
        >>> well_formed("\ud83d\ude00") == "\U0001f600"
        True
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


class TextTokenizer:
    """A Hugging Face tokenizer in its one constant state.

    Args:
        tokenizer: The loaded tokenizer. It is copied: nobody else can change its state.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._lock = threading.Lock()
        if tokenizer.is_fast:
            self._fast = copy.deepcopy(tokenizer.backend_tokenizer)
            self._fast.no_truncation()
            self._fast.no_padding()
            # Asked for them by id, it gives them normalized: a "[Q]" as "[q]".
            self._added = {
                id_: token.content for id_, token in self._fast.get_added_tokens_decoder().items()
            }
        else:
            self._fast = None
            self._slow = tokenizer

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text: all of them, without special tokens."""
        if not texts:
            return []
        texts = [well_formed(text) for text in texts]
        if self._fast is not None:
            # The Rust side neither reads nor writes mutable state here, so no lock is needed. It
            # keeps some 250 bytes a token until the ids are out, so long texts go in parts.
            rows: list[list[int]] = []
            for part in _parts(texts):
                check_cancelled()
                encoded = self._fast.encode_batch_fast(part, add_special_tokens=False)
                rows += [encoding.ids for encoding in encoded]
            return rows
        with self._lock:
            slow_rows: list[list[int]] = self._slow(
                texts, add_special_tokens=False, truncation=False, padding=False, verbose=False
            )["input_ids"]
        return slow_rows

    def locate(self, text: str) -> LocatedTokens:
        """Token ids of one text, the same as :meth:`ids`, and where they stand in it."""
        if self._fast is None:
            (ids,) = self.ids([text])
            return LocatedTokens(ids, [None] * len(ids))
        repaired = well_formed(text)
        encoding = self._fast.encode(repaired, add_special_tokens=False)
        places = range(len(text) + 1) if repaired is text else _places(text)
        spans: list[tuple[int, int] | None] = []
        for piece, (start, end) in zip(encoding.tokens, encoding.offsets, strict=True):
            covered = repaired[start:end]
            inner = covered.strip()
            if inner:
                start += covered.index(inner)
                end = start + len(inner)
            # A piece that marks the begin of a word alone has been given the word's first letter.
            if not covered or (inner and not _MARKS.sub("", piece)):
                spans.append(None)
            else:
                spans.append((places[start], places[end]))
        return LocatedTokens(encoding.ids, spans)

    def token(self, id_: int) -> str:
        """A token of the vocabulary as people read it: without the marks of a word's begin."""
        if self._fast is not None:
            piece = self._added.get(id_) or self._fast.id_to_token(id_)
        else:
            with self._lock:
                piece = self._slow.convert_ids_to_tokens(id_)
        return str(id_) if piece is None else _MARKS.sub("", piece).strip()


@dataclass(frozen=True, slots=True)
class PairTemplate:
    """How a model wants a query and a passage joined, such as ``<s> q </s></s> p </s>``.

    Attributes:
        before, between, after: Special token ids around the two texts.
        type_before, type_query, type_between, type_passage, type_after: Segment ids.
        uses_types: Whether the model is given segment ids at all.
    """

    before: tuple[int, ...]
    between: tuple[int, ...]
    after: tuple[int, ...]
    type_before: tuple[int, ...]
    type_query: int
    type_between: tuple[int, ...]
    type_passage: int
    type_after: tuple[int, ...]
    uses_types: bool

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase) -> PairTemplate:
        """Read the template off what the tokenizer does with a pair of one-letter texts.

        Raises:
            ModelLoadError: The tokenizer does not keep the two texts apart.
        """
        first = tokenizer("a", add_special_tokens=False)["input_ids"]
        second = tokenizer("b", add_special_tokens=False)["input_ids"]
        pair = tokenizer("a", "b", return_token_type_ids=True)
        ids = list(pair["input_ids"])
        types = list(pair.get("token_type_ids") or [0] * len(ids))
        at_first = _find(ids, first, 0)
        at_second = -1 if at_first < 0 else _find(ids, second, at_first + len(first))
        if at_second < 0 or at_second == at_first + len(first):
            raise ModelLoadError(
                f"the tokenizer joins the pair ('a', 'b') to {ids}: query and passage are not "
                "separated by special tokens, so this model is not a cross-encoder for pairs"
            )
        end_first, end_second = at_first + len(first), at_second + len(second)
        return cls(
            before=tuple(ids[:at_first]),
            between=tuple(ids[end_first:at_second]),
            after=tuple(ids[end_second:]),
            type_before=tuple(types[:at_first]),
            type_query=types[at_first],
            type_between=tuple(types[end_first:at_second]),
            type_passage=types[at_second],
            type_after=tuple(types[end_second:]),
            uses_types="token_type_ids" in tokenizer.model_input_names and any(types),
        )

    @property
    def n_special(self) -> int:
        """Special tokens in a pair."""
        return len(self.before) + len(self.between) + len(self.after)

    def join(self, query: Sequence[int], passage: Sequence[int]) -> TokenSequence:
        """Join two texts that have been cut already."""
        ids = [*self.before, *query, *self.between, *passage, *self.after]
        if not self.uses_types:
            return TokenSequence(ids)
        types = [
            *self.type_before,
            *[self.type_query] * len(query),
            *self.type_between,
            *[self.type_passage] * len(passage),
            *self.type_after,
        ]
        return TokenSequence(ids, types)


def _parts(texts: Sequence[str]) -> Iterator[list[str]]:
    """Consecutive texts of about a million characters together, at least one."""
    part: list[str] = []
    size = 0
    for text in texts:
        if part and size + len(text) > _CHARS_AT_ONCE:
            yield part
            part, size = [], 0
        part.append(text)
        size += len(text)
    yield part


def _places(text: str) -> list[int]:
    """Where each character of the repaired text, and its end, stands in the text itself."""
    places = []
    at = 0
    while at < len(text):
        places.append(at)
        at += 2 if _PAIR.match(text, at) else 1
    return [*places, at]


def _find(ids: Sequence[int], part: Sequence[int], start: int) -> int:
    for at in range(start, len(ids) - len(part) + 1):
        if list(ids[at : at + len(part)]) == list(part):
            return at
    return -1


def _after_fork() -> None:
    # The tokenizers' own pool of threads does not survive a fork, and they would wait for it for
    # ever where the parent's environment asks for parallelism.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
