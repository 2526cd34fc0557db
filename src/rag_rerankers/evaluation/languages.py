"""In which language a text is: told by the data, or guessed from the text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from copy import copy
from functools import cache
from itertools import islice
from typing import Any

from rag_rerankers.evaluation.collection import Collection
from rag_rerankers.evaluation.extras import needed

__all__ = ["Languages", "query_languages"]

_SAMPLE = 2000
_LEAST_SHARE = 0.05
_FIELDS = ("language", "lang")


class Languages:
    """Guesses languages among those that make up a collection.

    A short question alone is easily taken for a neighbour of its language, so that only languages
    with a real share (5 %) of the texts are candidates.

    Args:
        texts: What the languages are found in; the first 2,000 are looked at.

    Attributes:
        names: ISO 639-1 codes, the most frequent first.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self._identifier = copy(_identifier())  # which languages it chooses from is its state
        found = Counter(self._guess(text) for text in islice(texts, _SAMPLE))
        total = found.total()
        self.names = [code for code, count in found.most_common() if count >= _LEAST_SHARE * total]
        if self.names:
            self._identifier.set_languages(self.names)

    def __call__(self, text: str) -> str:
        """The language of a text."""
        return self.names[0] if len(self.names) == 1 else self._guess(text)

    def _guess(self, text: str) -> str:
        # Half a surrogate pair has no UTF-8, which the library counts bytes of.
        return str(self._identifier.classify(text.encode("utf-8", "replace").decode())[0])


@cache
def _identifier() -> Any:
    langid = needed("py3langid.langid", "telling languages apart")
    identifier = langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE)
    # Three-letter codes are small languages and dialects, which draw single texts to them.
    identifier.set_languages([code for code in identifier.labels if len(code) == 2])
    return identifier


def query_languages(collection: Collection) -> Mapping[str, str]:
    """Query to its language: its field ``language`` or ``lang``, or a guess."""
    told = {
        id_: fields[name].lower()
        for id_, fields in collection.fields.items()
        for name in _FIELDS
        if name in fields
    }
    rest = {id_: text for id_, text in collection.queries.items() if id_ not in told}
    if rest:
        guess = Languages(rest.values())
        told |= {id_: guess(text) for id_, text in rest.items()}
    return {id_: told[id_] for id_ in collection.queries}
