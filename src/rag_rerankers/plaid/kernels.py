"""What colbert-ai compiles from C++, in torch.

colbert-ai builds four functions at first use: half a minute each, with a compiler and ninja at
hand, behind a lock file that hangs for ever once a build was killed. A search here takes these
instead, always; they give the same results. The fourth is
:func:`~rag_rerankers.scorers.maxsim.maxsim`, whose maxima start at -inf: the C++ starts at 0, which
hides how bad a match is.
"""

from __future__ import annotations

import torch

__all__ = ["decompress_residuals", "filter_pids", "places", "segmented_lookup"]

# What the C++ counts for a query vector to which no centroid of the passage is near.
_NO_MATCH = -9999.0
# Numbers that may be gathered at once: 128 MB of float32.
_AT_ONCE = 1 << 25


def places(offsets: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Indices of the items of several runs, run by run.

    Args:
        offsets: Shape (runs,), int64: where each begins.
        lengths: Shape (runs,), int64: how many items each has.

    Returns:
        Shape (items of all runs,), int64.

    Example:
        >>> places(torch.tensor([5, 0]), torch.tensor([2, 3])).tolist()
        [5, 6, 0, 1, 2]
    """
    total = int(lengths.sum())
    before = lengths.cumsum(0) - lengths
    shift = torch.repeat_interleave(offsets - before, lengths, output_size=total)
    return shift + torch.arange(total)


def segmented_lookup(
    packed: torch.Tensor, lengths: torch.Tensor, offsets: torch.Tensor
) -> torch.Tensor:
    """The rows of several runs, end to end.

    Args:
        packed: Shape (rows, ...).
        lengths: Shape (runs,), int64: how many rows each has.
        offsets: Shape (runs,), int64: where each begins.

    Example:
        >>> rows = torch.tensor([10, 11, 12, 13])
        >>> segmented_lookup(rows, torch.tensor([1, 2]), torch.tensor([3, 0])).tolist()
        [13, 10, 11]
    """
    return packed[places(offsets, lengths)]


def filter_pids(
    pids: torch.Tensor,
    centroid_scores: torch.Tensor,
    codes: torch.Tensor,
    doclens: torch.Tensor,
    offsets: torch.Tensor,
    near: torch.Tensor,
    ndocs: int,
) -> torch.Tensor:
    """The best candidates by their centroids alone: first by the near ones, then by all.

    Args:
        pids: Shape (candidates,), int32: positions of passages.
        centroid_scores: Shape (centroids, query vectors), float32.
        codes: Shape (vectors, or more), int32: the centroid of every vector.
        doclens: Shape (passages,), int64: vectors of each passage.
        offsets: Shape (passages, or more), int64: where they begin.
        near: Shape (centroids,), bool: those that the first look counts.
        ndocs: How many the first look leaves; the second leaves a quarter of that.

    Returns:
        Shape (at most ndocs / 4,), int32, best first; equals go by descending pid.
    """
    everything = torch.ones_like(near)
    for counted, keep in ((near, ndocs), (everything, ndocs // 4)):
        scores = _by_centroids(pids, centroid_scores, codes, doclens, offsets, counted)
        # Stable sorts: the second key first.
        pids, by_pid = pids.sort(descending=True)
        best = scores[by_pid].sort(descending=True, stable=True).indices
        pids = pids[best[:keep]]
    return pids


def _by_centroids(
    pids: torch.Tensor,
    centroid_scores: torch.Tensor,
    codes: torch.Tensor,
    doclens: torch.Tensor,
    offsets: torch.Tensor,
    counted: torch.Tensor,
) -> torch.Tensor:
    """Sums of maxima, a vector being where its centroid is; shape (pids,), float32."""
    n_query = centroid_scores.shape[1]
    lengths = doclens[pids.long()]
    longest = max(1, int(lengths.max())) if len(lengths) else 1
    found = []
    for part in pids.long().split(max(1, _AT_ONCE // (longest * n_query))):
        sizes = doclens[part]
        of_vector = codes[places(offsets[part], sizes)].long()
        passage = torch.repeat_interleave(torch.arange(len(part)), sizes)
        kept = counted[of_vector]
        best = torch.full((len(part), n_query), _NO_MATCH)
        rows = centroid_scores[of_vector[kept]]
        best.scatter_reduce_(0, passage[kept, None].expand_as(rows), rows, "amax")
        # One after the other, as the C++ adds: beside -9999 the order of a sum shows.
        total = torch.zeros(len(part))
        for column in best.unbind(1):
            total += column
        found.append(total)
    return torch.cat(found) if found else torch.zeros(0)


def decompress_residuals(
    pids: torch.Tensor,
    doclens: torch.Tensor,
    offsets: torch.Tensor,
    bucket_weights: torch.Tensor,
    reversed_bit_map: torch.Tensor,
    bucket_combinations: torch.Tensor,
    residuals: torch.Tensor,
    codes: torch.Tensor,
    centroids: torch.Tensor,
) -> torch.Tensor:
    """The vectors of passages as the index remembers them: centroid plus residual.

    Args:
        pids: Shape (passages,), int32.
        doclens: Shape (passages,), int64: vectors of each passage.
        offsets: Shape (passages, or more), int64: where they begin.
        bucket_weights: Shape (2 ** nbits,), float32.
        reversed_bit_map: Shape (256,), uint8.
        bucket_combinations: Shape (256, 8 / nbits), uint8: the buckets that a byte stands for.
        residuals: Shape (vectors, or more, dim * nbits / 8), uint8.
        codes: Shape (vectors, or more), int32.
        centroids: Shape (centroids, dim), float32.

    Returns:
        Shape (vectors of these passages, dim), float32; not of unit length.
    """
    rows = pids.long()
    where = places(offsets[rows], doclens[rows])
    # A byte leads to its 8 / nbits numbers at once.
    numbers = bucket_weights[bucket_combinations.long()][reversed_bit_map.long()]
    # Not numbers[...]: that wants indices of eight bytes each.
    residual = torch.nn.functional.embedding(residuals[where].int(), numbers).flatten(1)
    return residual.add_(torch.nn.functional.embedding(codes[where], centroids))
