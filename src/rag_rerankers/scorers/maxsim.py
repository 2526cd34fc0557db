"""MaxSim: the score of late interaction (Khattab and Zaharia 2020, section 3)."""

from __future__ import annotations

from collections.abc import Sequence

import torch

__all__ = ["maxsim"]


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
    if not lengths:
        return torch.zeros(0)
    # float32: the sum of 32 maxima in half precision would lose the differences that rank.
    similarity = documents.float() @ query.float().T
    sizes = torch.tensor(lengths, device=documents.device)
    document = torch.repeat_interleave(
        torch.arange(len(lengths), device=documents.device), sizes, output_size=len(documents)
    )
    # Maxima start at -inf, not at 0: a negative similarity is a worse match, not none.
    best = similarity.new_full((len(lengths), len(query)), float("-inf"))
    best.scatter_reduce_(0, document[:, None].expand_as(similarity), similarity, "amax")
    return best.sum(dim=1)
