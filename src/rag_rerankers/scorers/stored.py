"""Documents whose vectors are in a store, and are encoded once where they are not."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import NamedTuple

import torch

from rag_rerankers.cancellation import check_cancelled
from rag_rerankers.engine import Job
from rag_rerankers.errors import StoreError
from rag_rerankers.scorers.maxsim import sum_of_maxima
from rag_rerankers.scorers.parts import Scored
from rag_rerankers.scorers.token_encoder import TokenEncoder
from rag_rerankers.store.codecs import Codec, bits_of, make_codec
from rag_rerankers.store.entries import StoredText
from rag_rerankers.store.reports import Warmed
from rag_rerankers.store.shelf import Shelf
from rag_rerankers.store.token_store import TokenStore
from rag_rerankers.windows import Passages

__all__ = ["StoredDocuments"]

logger = logging.getLogger(__name__)

_TEXTS = 256
"""Texts that are looked up together; with what is computed ahead, all that is in memory."""
_AHEAD = 2
_SAMPLE = 2000
"""Texts from which a compression learns."""

Batch = tuple[bytes, list[int], bool]
"""Records of some passages end to end, vectors of each, and whether all numbers are finite."""


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
        self._codec: Codec | None = None
        record = 0
        if self._bits is None or learned is not None:
            self._codec = make_codec(self._store.compression, self._encoder.dim, learned)
            record = self._codec.record
        self._shelf = Shelf(self._fingerprint, self._name, self._store.compression, record, learned)

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
        ahead: deque[_Part] = deque()

        def end() -> None:
            nonlocal n_encoded, n_cut
            part = ahead.popleft()
            for entries in self._encoded(part):
                self._store.put(self._shelf, entries)
                n_encoded += len(entries)
                n_cut += sum(entry.cut for entry in entries.values())
            tell(part.n_texts)

        try:
            for group in _groups(texts):
                keys = dict(zip(self._shelf.keys(group), group, strict=True))
                missing = self._store.missing(keys).difference(*(part.keys for part in ahead))
                n_texts += len(group)
                wanted = {key: text for key, text in keys.items() if key in missing}
                ahead.append(self._begin(wanted, len(group)))
                if len(ahead) > _AHEAD:
                    end()
            while ahead:
                end()
        finally:
            for part in ahead:
                part.close()
        return Warmed(n_texts, n_encoded, n_cut, time.perf_counter() - started)

    def _entries(
        self, texts: Sequence[str]
    ) -> Iterator[tuple[list[bytes], dict[bytes, StoredText]]]:
        """Keys of some texts, and their entries, part by part."""
        ahead: deque[tuple[list[bytes], dict[bytes, StoredText], _Part]] = deque()
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
                ahead.append((keys, found, self._begin(wanted, len(group))))
                if len(ahead) > _AHEAD:
                    yield self._complete(*ahead.popleft())
            while ahead:
                yield self._complete(*ahead.popleft())
        finally:
            for _, _, part in ahead:
                part.close()

    def _complete(
        self, keys: list[bytes], found: dict[bytes, StoredText], part: _Part
    ) -> tuple[list[bytes], dict[bytes, StoredText]]:
        for entries in self._encoded(part, found):
            self._keep(entries)
        return keys, found

    def _keep(self, entries: dict[bytes, StoredText]) -> None:
        """Store entries if possible: an answer does not depend on it."""
        try:
            self._store.put(self._shelf, entries)
        except StoreError as error:
            logger.warning("not stored, and encoded again next time: %s", error)

    def _begin(self, wanted: dict[bytes, str], n_texts: int) -> _Part:
        """Begin to encode texts."""
        if not wanted:
            return _Part(n_texts, [], None, None)

        codec = self._ready()

        def compress(vectors: torch.Tensor, lengths: list[int]) -> Batch:
            vectors = vectors.cpu()
            return codec.compress(vectors), lengths, bool(vectors.isfinite().all())

        passages, job = self._encoder.start(list(wanted.values()), compress)
        return _Part(n_texts, list(wanted), passages, job)

    def _encoded(
        self, part: _Part, all_: dict[bytes, StoredText] | None = None
    ) -> Iterator[dict[bytes, StoredText]]:
        """Entries to be stored, as soon as all passages of a text are there.

        Args:
            part: What is being encoded.
            all_: Gets every entry, also those that must not be stored.
        """
        if part.job is None or part.passages is None:
            return
        cut = set(part.passages.cut)
        pending = _Pending.of(part.passages)
        with part.job as job:
            for indices, (records, lengths, finite) in job:
                check_cancelled()
                done: dict[bytes, StoredText] = {}
                for document, pieces in pending.add(indices, records, lengths, self._shelf.record):
                    entry = StoredText(
                        tuple(length for length, _ in pieces),
                        document in cut,
                        b"".join(record for _, record in pieces),
                    )
                    done[part.keys[document]] = entry
                if all_ is not None:
                    all_.update(done)
                if finite:  # not-a-number is refused by the ranking, and must not come back
                    yield done

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


class _Part(NamedTuple):
    """Texts of which some are being encoded.

    Attributes:
        n_texts: All of them.
        keys: Of those that are encoded.
        passages: What was made of these.
        job: Encodes them.
    """

    n_texts: int
    keys: list[bytes]
    passages: Passages | None
    job: Job[Batch] | None

    def close(self) -> None:
        """Give up what has not been encoded."""
        if self.job is not None:
            self.job.close()


@dataclass(slots=True)
class _Pending:
    """Passages of texts that are not complete.

    Attributes:
        document: Of each passage, the index of its text.
        first: Of each text, the index of its first passage.
        number: Of each text, how many passages it has.
        pieces: Of each text, the vectors and the records of passages that are there.
    """

    document: list[int]
    first: dict[int, int] = field(default_factory=dict)
    number: dict[int, int] = field(default_factory=dict)
    pieces: dict[int, dict[int, tuple[int, bytes]]] = field(default_factory=dict)

    @classmethod
    def of(cls, passages: Passages) -> _Pending:
        pending = cls(passages.document)
        for index, document in enumerate(passages.document):
            pending.first.setdefault(document, index)
            pending.number[document] = pending.number.get(document, 0) + 1
        return pending

    def add(
        self, indices: list[int], records: bytes, lengths: list[int], record: int
    ) -> Iterator[tuple[int, list[tuple[int, bytes]]]]:
        """Texts that are complete with this batch, and their passages in order."""
        at = 0
        for index, length in zip(indices, lengths, strict=True):
            document = self.document[index]
            pieces = self.pieces.setdefault(document, {})
            pieces[index] = (length, records[at : at + length * record])
            at += length * record
            if len(pieces) == self.number[document]:
                del self.pieces[document]
                first = self.first[document]
                yield document, [pieces[first + n] for n in range(len(pieces))]


def _groups(texts: Iterable[str]) -> Iterator[list[str]]:
    remaining = iter(texts)
    while group := list(islice(remaining, _TEXTS)):
        yield group
