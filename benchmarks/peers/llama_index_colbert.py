"""LlamaIndex's ``ColbertRerank`` 0.6.0, which wants transformers < 6 and reads one text at a time.

What it computes is not ColBERT: no projection, no markers, no [MASK]s, punctuation counts, and the
mean over query tokens. For a plain encoder (minilm-maxsim) its order is MaxSim's.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.peers.base import Config, Model, Score
from benchmarks.peers.tools import quiet

__all__ = ["PEER"]


class LlamaIndexColbert:
    """A postprocessor of LlamaIndex."""

    name = "llama_index_colbert"
    venv = "legacy"
    models: tuple[Model, ...] = ("colbert", "minilm-maxsim")

    def configs(self, model: Model) -> list[Config]:
        """It has nothing to choose; it even keeps gradients, which a caller can turn off."""
        return [Config("defaults"), Config("no gradients", options={"gradients": False})]

    def load(self, folder: Path, model: Model, config: Config) -> Score:
        """As a postprocessor."""
        quiet()
        import torch
        from llama_index.core.schema import NodeWithScore, TextNode
        from llama_index.postprocessor.colbert_rerank import ColbertRerank

        reranker = ColbertRerank(model=str(folder), tokenizer=str(folder), top_n=1000, device="cpu")

        def score(query: str, texts: Sequence[str]) -> list[float]:
            nodes = [
                NodeWithScore(node=TextNode(text=text, id_=str(index)), score=0.0)
                for index, text in enumerate(texts)
            ]
            with torch.set_grad_enabled(config.options.get("gradients", True)):
                ranked = reranker.postprocess_nodes(nodes, query_str=query)
            found = {int(node.node.node_id): float(node.score) for node in ranked}
            return [found[index] for index in range(len(texts))]

        return score


PEER = LlamaIndexColbert()
