"""In which language a text is: told by the data, or guessed from the text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from copy import copy
from functools import cache
from itertools import islice
from typing import Any

from rag_rerankers.evaluation.collection import Collection as Data
from rag_rerankers.extras import needed

__all__ = ["Languages", "query_languages"]

_SAMPLE = 2000
_ENDLESS = 1_000_000
_LEAST_SHARE = 0.05
_LEAST_COUNT = 5
_FIELDS = ("language", "lang")


class Languages:
    """Guesses languages among those that make up a collection.

    A short question alone is easily taken for a neighbour of its language, so that only languages
    with a real share of the texts (5 %, and five texts) are candidates; without any, the most
    frequent one.

    Args:
        texts: What the languages are found in: up to 2,000 of them are looked at.
        also: More candidates.

    Attributes:
        names: ISO 639-1 codes, the most frequent first.
    """

    def __init__(self, texts: Collection[str], also: Iterable[str] = ()) -> None:
        self._identifier = copy(_identifier())  # which languages it chooses from is its state
        found = Counter(self._guess(text) for text in _spread(texts))
        least = max(_LEAST_SHARE * found.total(), _LEAST_COUNT)
        frequent = [code for code, count in found.most_common() if count >= least]
        if not frequent and not also:
            frequent = [code for code, _ in found.most_common(1)]
        self.names = list(dict.fromkeys([*frequent, *also]))
        if self.names:
            self._identifier.set_languages(self.names)

    def __call__(self, text: str) -> str:
        """The language of a text."""
        return self.names[0] if len(self.names) == 1 else self._guess(text)

    def _guess(self, text: str) -> str:
        # Half a surrogate pair has no UTF-8, which the library counts bytes of.
        return str(self._identifier.classify(text.encode("utf-8", "replace").decode())[0])


def _spread(texts: Collection[str]) -> Iterator[str]:
    """A sample from all over; of millions, which may lie on disk, the first ones."""
    step = -(-len(texts) // _SAMPLE) if 0 < len(texts) < _ENDLESS else 1
    return islice(texts, 0, _SAMPLE * step, step)


@cache
def _identifier() -> Any:
    langid = needed("py3langid.langid", "telling languages apart")
    identifier = langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE)
    # Three-letter codes are small languages and dialects, which draw single texts to them.
    identifier.set_languages([code for code in identifier.labels if len(code) == 2])
    return identifier


def query_languages(collection: Data) -> Mapping[str, str]:
    """Query to its language: its field ``language`` or ``lang``, or a guess."""
    told = {
        id_: fields[name].lower()
        for id_, fields in collection.fields.items()
        for name in _FIELDS
        if name in fields
    }
    rest = {id_: text for id_, text in collection.queries.items() if id_ not in told}
    if rest:
        # Documents are longer, and tell more surely in which languages people ask here.
        spoken = Languages(collection.documents.values()).names
        guess = Languages(rest.values(), also=spoken)
        told |= {id_: guess(text) for id_, text in rest.items()}
    return {id_: told[id_] for id_ in collection.queries}
