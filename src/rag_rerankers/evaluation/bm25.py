"""BM25 as a first stage, by bm25s."""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import suppress

import numpy as np
import regex

from rag_rerankers.evaluation.collection import Collection
from rag_rerankers.evaluation.languages import Languages
from rag_rerankers.evaluation.runs import Run
from rag_rerankers.evaluation.top import best_first
from rag_rerankers.extras import needed

__all__ = ["rank_by_bm25", "terms"]

# With the marks that combine with letters, which Python's own \w leaves out: they cut Hindi words.
_WORD = regex.compile(r"[\w\p{M}]+")
# Scripts without spaces between words: Han, kana, Hangul, Thai, Lao, Khmer, Burmese.
_UNSPACED = regex.compile(
    "([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]+)"
)


def rank_by_bm25(collection: Collection, top_k: int) -> Run:
    """Rank documents by BM25 (Lucene's variant; k1 .9 and b .4, as Anserini and BEIR do).

    Words are lower-cased and stemmed by Snowball in the language of their text, where it has a
    stemmer. Documents that share no term with the query are not ranked.

    Args:
        collection: Documents and queries.
        top_k: Candidates per query.

    Raises:
        MissingExtraError: The extra ``eval`` is not installed.
    """
    bm25s = needed("bm25s", "the first stage 'bm25'")
    # It sets itself to DEBUG when it is imported.
    logging.getLogger("bm25s").setLevel(logging.WARNING)
    stem = _Stemming(Languages(collection.documents.values()))
    vocabulary: dict[str, int] = {}

    def ids_of(text: str) -> list[int]:
        # setdefault hands out one int object per term: a large collection costs a pointer a word.
        return [vocabulary.setdefault(term, len(vocabulary)) for term in stem(text)]

    doc_ids: list[str] = []
    rows: list[list[int]] = []
    for doc_id, text in collection.documents.items():
        doc_ids.append(doc_id)
        rows.append(ids_of(text))
    known = dict(vocabulary)  # bm25s adds an empty term of its own
    index = bm25s.BM25(k1=0.9, b=0.4, backend="numpy")
    if known:
        index.index(bm25s.tokenization.Tokenized(rows, known), show_progress=False)
    rankings: dict[str, list[str]] = {}
    scores: dict[str, list[float]] = {}
    for query_id, text in collection.queries.items():
        asked = [known[term] for term in stem.every_way(text) if term in known]
        found = index.get_scores(asked) if asked else np.zeros(len(doc_ids))
        best = [i for i in best_first(found, top_k) if found[i] > 0]
        rankings[query_id] = [doc_ids[i] for i in best]
        scores[query_id] = [float(found[i]) for i in best]
    return Run("bm25", rankings, scores)


def terms(text: str) -> Iterator[str]:
    """Words in lower case; scripts without spaces as overlapping pairs of characters.

    Example:
        >>> list(terms("Was ist C3PO? 熊猫吃"))
        ['was', 'ist', 'c3po', '熊猫', '猫吃']
    """
    for word in _WORD.findall(unicodedata.normalize("NFKC", text).lower()):
        for part in _UNSPACED.split(word):
            if part and _UNSPACED.match(part) and len(part) > 1:
                yield from (part[i : i + 2] for i in range(len(part) - 1))
            elif part:
                yield part


class _Stemming:
    """Terms of texts, stemmed in their language."""

    def __init__(self, languages: Languages) -> None:
        self._languages = languages
        self._stemmers = _stemmers(languages)

    def __call__(self, text: str) -> list[str]:
        """Terms of a document."""
        words = list(terms(text))
        stem = self._stemmers.get(self._languages(text)) if self._stemmers else None
        return stem(words) if stem else words

    def every_way(self, text: str) -> list[str]:
        """Terms of a question, in the stems of all languages here.

        With those of one language, a document whose language was mistaken would not be found.
        """
        words = list(terms(text))
        stems = [stem(words) for stem in self._stemmers.values()]
        if len(stems) < len(self._languages.names):
            stems.append(words)
        return [term for ways in zip(*stems, strict=True) for term in dict.fromkeys(ways)]


def _stemmers(languages: Languages) -> dict[str, Callable[[list[str]], list[str]]]:
    stemmer = needed("Stemmer", "the first stage 'bm25'")
    found = {}
    for code in languages.names:
        with suppress(KeyError):  # Snowball has no stemmer for this language
            found[code] = stemmer.Stemmer(code).stemWords
    return found
