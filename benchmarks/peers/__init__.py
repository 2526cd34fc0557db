"""Everybody who is measured."""

from __future__ import annotations

from benchmarks.peers import (
    article_loop,
    flag_reranker,
    flashrank,
    llama_index_colbert,
    onnxruntime_int8,
    openvino_direct,
    pylate,
    rerankers,
    sentence_transformers_cross,
    sentence_transformers_multi,
    sentence_transformers_onnx,
    sentence_transformers_openvino,
)
from benchmarks.peers.base import Peer

__all__ = ["PEERS"]

_ALL: tuple[Peer, ...] = (
    article_loop.PEER,
    flag_reranker.PEER,
    sentence_transformers_cross.PEER,
    sentence_transformers_multi.PEER,
    sentence_transformers_onnx.PEER,
    sentence_transformers_openvino.PEER,
    onnxruntime_int8.PEER,
    openvino_direct.PEER,
    flashrank.PEER,
    rerankers.PEER,
    pylate.PEER,
    llama_index_colbert.PEER,
)

PEERS: dict[str, Peer] = {peer.name: peer for peer in _ALL}
"""In the order of the tables."""
