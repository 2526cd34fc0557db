"""Documents whose vectors are in a store, and are encoded once where they are not."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice

import torch

from rag_rerankers.engine.memory import give_back
from rag_rerankers.errors import StoreError
from rag_rerankers.scorers.encoding import Encoding
from rag_rerankers.scorers.maxsim import sum_of_maxima
from rag_rerankers.scorers.parts import Scored
from rag_rerankers.scorers.token_encoder import TokenEncoder
from rag_rerankers.store.codecs import Codec, bits_of, make_codec
from rag_rerankers.store.entries import StoredText
from rag_rerankers.store.reports import Warmed
from rag_rerankers.store.shelf import Shelf
from rag_rerankers.store.token_store import TokenStore

__all__ = ["StoredDocuments"]

logger = logging.getLogger(__name__)

_TEXTS = 256
"""Texts that are looked up together; with what is computed ahead, all that is in memory."""
_AHEAD = 2
_SAMPLE = 2000
"""Texts from which a compression learns."""


class StoredDocuments:
    """Scores and warms through a store.

    A text's score comes from its compressed vectors also when they have just been made, so that
    it does not depend on whether the store held them.

    Args:
        encoder: Encodes what is missing.
        store: Where the vectors are kept.
        fingerprint: Of all that the vectors depend on.
        name: What the store calls the model.

    Raises:
        StoreError: The store cannot be used.
        ValueError: The compression does not fit the model.
    """

    def __init__(
        self, encoder: TokenEncoder, store: TokenStore, fingerprint: bytes, name: str
    ) -> None:
        self._encoder = encoder
        self._store = store
        self._fingerprint = fingerprint
        self._name = name
        self._bits = bits_of(store.compression)
        if self._bits is not None and not encoder.recipe.normalize:
            raise ValueError(
                f"{store.compression} keeps directions only, and the vectors of {name!r} differ in "
                "length: use compression='int8'"
            )
        store.open()
        self._set(store.codec(fingerprint, store.compression) if self._bits else None)

    def _set(self, learned: bytes | None) -> None:
        """Begin to use what the compression has learned."""
        codec: Codec | None = None
        if self._bits is None or learned is not None:
            codec = make_codec(self._store.compression, self._encoder.dim, learned)
        record = 0 if codec is None else codec.record
        self._shelf = Shelf(self._fingerprint, self._name, self._store.compression, record, learned)
        self._codec = codec  # last: whoever finds it finds its shelf

    def _ready(self) -> Codec:
        """The codec; another process may have taught it since.

        Raises:
            StoreError: The compression has not learned anything.
        """
        if self._codec is None:
            self._set(self._store.codec(self._fingerprint, self._store.compression))
        if self._codec is None:
            raise StoreError(
                f"{self._store.compression} learns from the model's vectors, and the store "
                f"{self._store.path} has seen none: warm it with a few hundred texts first "
                "(Reranker.warm, or rag-rerankers store warm)"
            )
        return self._codec

    def _learn(self, texts: Iterable[str]) -> Iterable[str]:
        """Let the compression learn from the first texts, if it has to; returns all texts."""
        if self._codec is not None or self._bits is None:
            return texts
        learned = self._store.codec(self._fingerprint, self._store.compression)
        if learned is None:
            from rag_rerankers.store.residual import check_dim, learn

            check_dim(self._encoder.dim, self._bits)
            remaining = iter(texts)
            sample = list(islice(remaining, _SAMPLE))
            if not sample:
                return sample
            vectors = torch.cat(self._encoder.documents(sample))
            learned = self._store.learn(self._shelf, learn(vectors, self._bits))
            texts = chain(sample, remaining)
        self._set(learned)
        return texts

    def score(self, query: torch.Tensor, texts: Sequence[str]) -> Scored:
        """One sum of maxima for each text: that of its best passage.

        Args:
            query: Shape (query tokens, dim), float32.
            texts: Any number.
        """
        codec = self._ready()
        query = query.cpu()
        scores: list[float] = []
        n_cut = 0
        for keys, found in self._entries(texts):
            n_cut += sum(found[key].cut for key in keys)
            # Each once: equal texts have equal scores to the last bit.
            scored = dict(zip(found, self._compare(codec, query, [*found.values()]), strict=True))
            scores += [scored[key] for key in keys]
        return Scored(scores, n_cut)

    def warm(self, texts: Iterable[str], tell: Callable[[int], object]) -> Warmed:
        """Encode what the store does not hold.

        Args:
            texts: Any number, as they come.
            tell: Called with the number of texts that are done, again and again.

        Raises:
            StoreError: The store cannot be written.
        """
        started = time.perf_counter()
        texts = self._learn(texts)
        n_texts = n_encoded = n_cut = 0
        waiting: dict[bytes, str] = {}
        ahead: deque[Encoding] = deque()

        def begin() -> None:
            ahead.append(Encoding(self._encoder, self._ready(), waiting))
            waiting.clear()
            if len(ahead) > _AHEAD:
                end()
                give_back()

        def end() -> None:
            nonlocal n_encoded, n_cut
            encoding = ahead.popleft()
            for entries in encoding.entries():
                self._put(encoding, entries)
                n_encoded += len(entries)
                n_cut += sum(entry.cut for entry in entries.values())
                tell(len(entries))

        try:
            for group in _groups(texts):
                n_texts += len(group)
                keys = dict(zip(self._shelf.keys(group), group, strict=True))
                missing = self._store.missing(keys).difference(
                    waiting, *(one.keys for one in ahead)
                )
                waiting |= {key: text for key, text in keys.items() if key in missing}
                tell(len(group) - len(missing))
                # Few texts make small batches, which cost more: they wait for others.
                if len(waiting) >= _TEXTS:
                    begin()
            if waiting:
                begin()
            while ahead:
                end()
        finally:
            for encoding in ahead:
                encoding.close()
        return Warmed(n_texts, n_encoded, n_cut, time.perf_counter() - started)

    def _entries(
        self, texts: Sequence[str]
    ) -> Iterator[tuple[list[bytes], dict[bytes, StoredText]]]:
        """Keys of some texts, and their entries, part by part."""
        ahead: deque[tuple[list[bytes], dict[bytes, StoredText], Encoding]] = deque()
        try:
            for group in _groups(texts):
                keys = self._shelf.keys(group)
                found = {
                    key: entry
                    for key, entry in zip(keys, self._store.get(self._shelf, keys), strict=True)
                    if entry is not None
                }
                wanted = {
                    key: text for key, text in zip(keys, group, strict=True) if key not in found
                }
                ahead.append((keys, found, Encoding(self._encoder, self._ready(), wanted)))
                if len(ahead) > _AHEAD:
                    yield self._complete(*ahead.popleft())
                    give_back()
            while ahead:
                yield self._complete(*ahead.popleft())
        finally:
            for _, _, encoding in ahead:
                encoding.close()

    def _complete(
        self, keys: list[bytes], found: dict[bytes, StoredText], encoding: Encoding
    ) -> tuple[list[bytes], dict[bytes, StoredText]]:
        for entries in encoding.entries():
            found |= entries
            self._try_to_put(encoding, entries)
        return keys, found

    def _try_to_put(self, encoding: Encoding, entries: dict[bytes, StoredText]) -> None:
        try:
            self._put(encoding, entries)
        except StoreError as error:  # the answer does not depend on it
            logger.warning("not stored, and encoded again next time: %s", error)

    def _put(self, encoding: Encoding, entries: dict[bytes, StoredText]) -> None:
        kept = {key: entry for key, entry in entries.items() if key not in encoding.broken}
        self._store.put(self._shelf, kept)

    def _compare(
        self, codec: Codec, query: torch.Tensor, entries: Sequence[StoredText]
    ) -> list[float]:
        """The best passage of each entry."""
        lengths = [length for entry in entries for length in entry.lengths]
        joined = bytearray().join(entry.records for entry in entries)
        records = torch.frombuffer(joined, dtype=torch.uint8).view(-1, codec.record)
        scores = sum_of_maxima(codec.similarity(query, records), lengths)
        if len(lengths) > len(entries):
            passages = torch.tensor([len(entry.lengths) for entry in entries])
            scores = torch.stack([part.max() for part in scores.split(passages.tolist())])
        found: list[float] = scores.tolist()
        return found


def _groups(texts: Iterable[str]) -> Iterator[list[str]]:
    remaining = iter(texts)
    while group := list(islice(remaining, _TEXTS)):
        yield group
