"""Texts on their way into a store: encoded, compressed, put together from their passages."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

import torch

from rag_rerankers.cancellation import check_cancelled
from rag_rerankers.engine import Job
from rag_rerankers.scorers.token_encoder import TokenEncoder
from rag_rerankers.store.codecs import Codec
from rag_rerankers.store.entries import StoredText
from rag_rerankers.windows import Passages

__all__ = ["Encoding"]

Batch = tuple[bytes, list[int], bool]
"""Records of some passages end to end, vectors of each, and whether all numbers are finite."""


class Encoding:
    """Texts that are being encoded; made by beginning it.

    Args:
        encoder: Makes their vectors.
        codec: Makes these small, on the threads that computed them.
        texts: By the keys of their entries; may be empty.

    Attributes:
        keys: Of the texts.
        broken: Keys of texts with a vector that is not finite. The ranking refuses such scores,
            and they must not come back from a store.
    """

    def __init__(self, encoder: TokenEncoder, codec: Codec, texts: Mapping[bytes, str]) -> None:
        self.keys = list(texts)
        self.broken: set[bytes] = set()
        self._record = codec.record
        self._passages = Passages([], [], 0)
        self._job: Job[Batch] | None = None

        def compress(vectors: torch.Tensor, lengths: list[int]) -> Batch:
            vectors = vectors.cpu()
            return codec.compress(vectors), lengths, bool(vectors.isfinite().all())

        if texts:
            self._passages, self._job = encoder.start(list(texts.values()), compress)

    def close(self) -> None:
        """Give up what has not been encoded."""
        if self._job is not None:
            self._job.close()

    def entries(self) -> Iterator[dict[bytes, StoredText]]:
        """Entries of texts by their keys, as soon as all of their passages are there."""
        if self._job is None:
            return
        missing = defaultdict(list)
        for index, document in enumerate(self._passages.document):
            missing[document].append(index)
        cut = set(self._passages.cut)
        pieces: dict[int, tuple[int, bytes]] = {}
        with self._job as job:
            for indices, (records, lengths, finite) in job:
                check_cancelled()
                at = 0
                for index, length in zip(indices, lengths, strict=True):
                    end = at + length * self._record
                    pieces[index], at = (length, records[at:end]), end
                touched = dict.fromkeys(self._passages.document[index] for index in indices)
                if not finite:
                    self.broken.update(self.keys[document] for document in touched)
                done = {}
                for document in touched:
                    if all(index in pieces for index in missing[document]):
                        parts = [pieces.pop(index) for index in missing[document]]
                        done[self.keys[document]] = StoredText(
                            tuple(length for length, _ in parts),
                            document in cut,
                            b"".join(record for _, record in parts),
                        )
                yield done
