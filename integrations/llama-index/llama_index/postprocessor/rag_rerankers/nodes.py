"""Nodes in, texts out, and copies of nodes that nobody else can change."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from llama_index.core.schema import BaseNode, MetadataMode, NodeWithScore

__all__ = ["RANK_KEY", "SCORE_KEY", "check_nodes", "keep_retrieval", "snapshot", "texts_of"]

SCORE_KEY = "retrieval_score"
RANK_KEY = "retrieval_rank"
_KEYS = (SCORE_KEY, RANK_KEY)


def check_nodes(nodes: object) -> list[NodeWithScore]:
    """Return the nodes as a list.

    Raises:
        TypeError: Something is not a ``NodeWithScore``; the message names its index.
    """
    if isinstance(nodes, (str, bytes)) or not isinstance(nodes, Iterable):
        raise TypeError(f"nodes must be a list of NodeWithScore, not {nodes!r:.100}")
    checked = list(nodes)
    for i, entry in enumerate(checked):
        if not isinstance(entry, NodeWithScore):
            remedy = (
                "Wrap it: NodeWithScore(node=node)" if isinstance(entry, BaseNode) else "Drop it"
            )
            raise TypeError(
                f"node {i} is not a NodeWithScore but {type(entry).__name__}: {entry!r:.100}. "
                f"{remedy}"
            )
    return checked


def texts_of(nodes: Sequence[NodeWithScore], mode: MetadataMode) -> list[str]:
    """Return the text of every node; a node without text, such as an image, has the empty one.

    Raises:
        TypeError: A node's content is not text; the message names its index.
    """
    return [_text(i, entry.node, mode) for i, entry in enumerate(nodes)]


def _text(index: int, node: BaseNode, mode: MetadataMode) -> str:
    # The body first: a template would turn a body of None into the word "None".
    body = node.get_content(metadata_mode=MetadataMode.NONE) if isinstance(node, BaseNode) else node
    if not isinstance(body, str):
        raise TypeError(
            f"the content of node {index} is not text but {type(body).__name__}: {body!r:.100}. "
            "Drop the node, or give it a text"
        )
    if mode == MetadataMode.NONE:
        return body
    if mode == MetadataMode.ALL and _added_here(node):
        # ALL shows excluded keys too; what this package added must not change the next score.
        kept = {key: value for key, value in node.metadata.items() if key not in _KEYS}
        node = node.model_copy(update={"metadata": kept})
    return node.get_content(metadata_mode=mode)


def _added_here(node: BaseNode) -> bool:
    return all(
        key in node.metadata
        and key in node.excluded_embed_metadata_keys
        and key in node.excluded_llm_metadata_keys
        for key in _KEYS
    )


def keep_retrieval(entry: NodeWithScore, rank: int) -> BaseNode:
    """Return a copy of the node that remembers the score and rank (from 0) it came with.

    Both keys are excluded from what embedding models, rerankers and LLMs read: a score among the
    text would change the next score and the answer.
    """
    node = entry.node
    score = None if entry.score is None else float(entry.score)
    return node.model_copy(
        update={
            "metadata": {**node.metadata, SCORE_KEY: score, RANK_KEY: rank},
            "excluded_embed_metadata_keys": _with_keys(node.excluded_embed_metadata_keys),
            "excluded_llm_metadata_keys": _with_keys(node.excluded_llm_metadata_keys),
        }
    )


def _with_keys(keys: Sequence[str]) -> list[str]:
    return [*keys, *(key for key in _KEYS if key not in keys)]


def snapshot(nodes: Sequence[NodeWithScore]) -> list[NodeWithScore]:
    """Return the nodes as they are now.

    Other postprocessors write into nodes in place; a handler that looks at an event later must
    still see what the event was about. Values inside the metadata are shared, not copied.
    """
    return [
        NodeWithScore.model_construct(
            node=entry.node.model_copy(
                update={
                    "metadata": dict(entry.node.metadata),
                    "relationships": dict(entry.node.relationships),
                    "excluded_embed_metadata_keys": list(entry.node.excluded_embed_metadata_keys),
                    "excluded_llm_metadata_keys": list(entry.node.excluded_llm_metadata_keys),
                }
            ),
            score=entry.score,
        )
        for entry in nodes
    ]
