"""MaxSim: the score of late interaction (Khattab and Zaharia 2020, section 3)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

__all__ = ["maxsim", "sum_of_maxima"]


def maxsim(query: torch.Tensor, documents: torch.Tensor, lengths: Sequence[int]) -> torch.Tensor:
    """Score packed documents: for each query vector its best document vector, summed.

    ``score(d) = sum over i of max over j of query[i] . d[j]``, for all documents at once.

    Args:
        query: Shape (query tokens, dim).
        documents: Shape (tokens of all documents, dim): the documents' vectors end to end.
        lengths: Vectors of each document; they add up to ``len(documents)``.

    Returns:
        Shape (documents,), float32. A document without vectors scores -inf.

    Raises:
        ValueError: The lengths do not add up.

    Example:
        Two documents, of two vectors and of one. The first has an exact match for each query
        vector; the second matches neither direction fully:

        >>> query = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
        >>> documents = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, -0.8]])
        >>> [round(score, 4) for score in maxsim(query, documents, [2, 1]).tolist()]
        [2.0, -0.2]
    """
    if sum(lengths) != len(documents):
        raise ValueError(
            f"lengths add up to {sum(lengths)}, but there are {len(documents)} vectors"
        )
    # float32: the sum of 32 maxima in half precision would lose the differences that rank.
    return sum_of_maxima(query.float() @ documents.float().T, lengths)


def sum_of_maxima(similarity: torch.Tensor, lengths: Sequence[int]) -> torch.Tensor:
    """The second half of MaxSim: each query vector's maximum in each document, summed.

    Args:
        similarity: Shape (query tokens, tokens of all documents), float32.
        lengths: Vectors of each document; they add up to the second dimension.

    Returns:
        Shape (documents,), float32. A document without vectors scores -inf.

    Example:
        >>> sum_of_maxima(torch.tensor([[0.1, 0.7, -0.2], [0.5, 0.3, -0.4]]), [2, 1])
        tensor([ 1.2000, -0.6000])
    """
    # Maxima start at -inf, not at 0: a negative similarity is a worse match, not none.
    best = similarity.new_full((len(similarity), len(lengths)), float("-inf"))
    filled = [index for index, length in enumerate(lengths) if length]
    if not filled:
        return best.sum(dim=0)
    if similarity.device.type == "cpu":
        # One pass over neighbouring numbers, several times faster than torch's scattering.
        starts = np.cumsum([0, *(lengths[index] for index in filled[:-1])])
        best[:, filled] = torch.from_numpy(np.maximum.reduceat(similarity.numpy(), starts, axis=1))
        return best.sum(dim=0)
    sizes = torch.tensor(lengths, device=similarity.device)
    document = torch.repeat_interleave(
        torch.arange(len(lengths), device=similarity.device), sizes, output_size=similarity.shape[1]
    )
    best.scatter_reduce_(1, document[None].expand_as(similarity), similarity, "amax")
    return best.sum(dim=0)
