"""Cross-encoders: query and passage go through the model together, one logit a pair."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rag_rerankers.engine import Engine
from rag_rerankers.engine.limits import checked_max_length, position_capacity
from rag_rerankers.errors import ModelLoadError
from rag_rerankers.scorers.parts import Started, score_in_parts
from rag_rerankers.sigmoid import sigmoid
from rag_rerankers.tokenization import PairTemplate, TextTokenizer
from rag_rerankers.weights import load_config, load_model, load_tokenizer, read_json
from rag_rerankers.windows import split_documents, warn_if_cut

if TYPE_CHECKING:
    import torch

__all__ = ["CrossEncoderScorer"]

DEFAULT_MAX_LENGTH = 512


class CrossEncoderScorer:
    """Scores pairs as FlagEmbedding's ``FlagReranker`` does.

    The query keeps at most 3/4 of ``max_length`` tokens; then only the passage is cut, until
    the pair with its special tokens fits. The score is the raw logit; the relevance its sigmoid.

    Args:
        engine: Runs the model.
        tokenizer: Text to ids.
        template: How the model joins a pair.
        max_length: Tokens of a pair at most, special tokens included.
        long_documents: ``"truncate"`` or ``"max_passage"``.
        query_prompt: Text put before every query, as the model was trained with.
    """

    def __init__(
        self,
        engine: Engine,
        tokenizer: TextTokenizer,
        template: PairTemplate,
        max_length: int,
        long_documents: str = "truncate",
        query_prompt: str = "",
    ) -> None:
        smallest = 4 * (template.n_special + 1)
        if max_length < smallest:
            raise ValueError(
                f"max_length {max_length} leaves no room for a passage beside a query of 3/4 of "
                f"it and {template.n_special} special tokens: use {smallest} or more"
            )
        self.engine = engine
        self.max_length = max_length
        self.query_length = max_length * 3 // 4
        self.long_documents = long_documents
        self._tokenizer = tokenizer
        self._template = template
        self._query_prompt = query_prompt

    @classmethod
    def load(
        cls,
        folder: Path,
        *,
        device: torch.device,
        dtype: torch.dtype,
        max_length: int | None = None,
        long_documents: str = "truncate",
        batch_tokens: int | None = None,
    ) -> CrossEncoderScorer:
        """Load a sequence-classification model with one label from a folder.

        Raises:
            ModelLoadError: It has more than one label, or lacks weights.
            ValueError: ``max_length`` is more than the model can read.
        """
        import torch
        from transformers import AutoModelForSequenceClassification

        config = load_config(folder)
        if config.num_labels != 1:
            raise ModelLoadError(
                f"{folder} has {config.num_labels} labels: a reranker has one, the relevance. "
                "A classifier (NLI, sentiment, ...) does not rank"
            )
        tokenizer = load_tokenizer(folder)
        int8 = dtype == torch.int8
        model = load_model(
            AutoModelForSequenceClassification, folder, device, torch.float32 if int8 else dtype
        )
        limit = position_capacity(model)
        template = PairTemplate.of(tokenizer)
        engine = Engine(
            model,
            tokenizer.pad_token_id or 0,
            with_logits=True,
            batch_tokens=batch_tokens,
            wrap=lambda ids: template.join(ids[:2], ids[2:]),
            int8=int8,
        )
        return cls(
            engine,
            TextTokenizer(tokenizer),
            template,
            checked_max_length(max_length, DEFAULT_MAX_LENGTH, limit),
            long_documents,
            _default_prompt(folder),
        )

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        """One logit per text, in the order of ``texts``."""
        if not texts:
            return []
        (query_ids,) = self._tokenizer.ids([self._query_prompt + query])
        n_query = len(query_ids)
        query_ids = query_ids[: self.query_length]
        room = self.max_length - self._template.n_special - len(query_ids)

        def start(part: Sequence[str]) -> Started:
            passages = split_documents(self._tokenizer.ids(part), room, self.long_documents)
            pairs = [self._template.join(query_ids, passage) for passage in passages.ids]
            return Started(passages, self.engine.start(pairs, lambda *scores: scores))

        scores, n_cut = score_in_parts(texts, start, self.engine.device)
        warn_if_cut(n_cut, len(texts), room, n_query, self.query_length)
        return scores

    def relevance(self, query: str, scores: Sequence[float]) -> list[float]:
        """Sigmoid of the logits."""
        return [sigmoid(score) for score in scores]


def _default_prompt(folder: Path) -> str:
    """The prompt that sentence-transformers puts before a query unless told otherwise."""
    saved = read_json(folder / "config_sentence_transformers.json")
    prompts = saved.get("prompts") or {}
    return str(prompts.get(saved.get("default_prompt_name")) or "")
