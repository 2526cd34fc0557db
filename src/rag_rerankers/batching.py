"""Length-sorted batches under a token budget."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["longest_first", "take_batch"]


def longest_first(lengths: Sequence[int]) -> list[int]:
    """Indices by falling length; equal lengths keep their order.

    The longest batch comes first, so that a budget which is too large fails at once and not
    after minutes of work.

    Example:
        >>> longest_first([3, 9, 3, 5])
        [1, 3, 0, 2]
    """
    return sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True)


def take_batch(
    lengths: Sequence[int],
    order: Sequence[int],
    start: int,
    budget: int,
    *,
    padded: bool,
    equal: bool = False,
) -> list[int]:
    """The next batch: as many sequences as the token budget holds, at least one.

    Args:
        lengths: Tokens of each sequence.
        order: Indices into ``lengths``, longest first.
        start: Position in ``order`` to begin at.
        budget: Tokens in one batch at most.
        padded: Count every sequence as long as the longest in its batch, which is what a padded
            forward pass computes.
        equal: Only sequences of one length share a batch.

    Returns:
        Indices into ``lengths``.

    Example:
        >>> take_batch([3, 9, 3, 5], [1, 3, 0, 2], 1, 11, padded=False)
        [3, 0, 2]
        >>> take_batch([3, 9, 3, 5], [1, 3, 0, 2], 1, 11, padded=True)
        [3, 0]
        >>> take_batch([3, 9, 3, 5], [1, 3, 0, 2], 2, 11, padded=True, equal=True)
        [0, 2]
    """
    batch = [order[start]]
    used = longest = lengths[order[start]]
    for index in order[start + 1 :]:
        used += longest if padded else lengths[index]
        if used > budget or (equal and lengths[index] != longest):
            break
        batch.append(index)
    return batch
