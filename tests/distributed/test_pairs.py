"""What a worker does with a table, without Ray."""

from __future__ import annotations

from typing import ClassVar

import pytest
from tests.distributed.scorers import Length

from rag_rerankers import Reranker
from rag_rerankers.distributed.outcomes import in_halves
from rag_rerankers.distributed.pairs import PairColumns, PairScorer
from rag_rerankers.distributed.report import Tally

pa = pytest.importorskip("pyarrow", reason="needs the extra 'ray'")

COLUMNS = PairColumns("query", "text", "score", "relevance", "error")


def scored(scorer, rows, *, batch_size=256, schema=None):
    table = pa.Table.from_pylist(rows, schema=schema)
    found, tally = PairScorer(Reranker(scorer), COLUMNS, batch_size)(table)
    return found.to_pylist(), tally


class Asked(Length):
    """Remembers what it was asked."""

    calls: ClassVar[list] = []

    def score(self, query, texts):
        self.calls.append((query, list(texts)))
        return super().score(query, texts)


@pytest.fixture
def asked():
    Asked.calls = []
    return Asked()


def pair(query, text):
    return {"query": query, "text": text}


def test_pairs_of_one_query_are_scored_in_one_call(asked):
    rows = [pair("q", "a"), pair("r", "bb"), pair("q", "ccc"), pair("q", "a")]
    found, _ = scored(asked, rows)
    assert [row["score"] for row in found] == [1.0, 2.0, 3.0, 1.0]
    assert sorted(asked.calls) == [("q", ["a", "ccc", "a"]), ("r", ["bb"])]


def test_lists_are_scored_one_by_one_even_of_one_query(asked):
    rows = [pair("q", ["a", "bb"]), pair("q", ["ccc"])]
    found, _ = scored(asked, rows)
    assert [row["score"] for row in found] == [[1.0, 2.0], [3.0]]
    assert sorted(asked.calls) == [("q", ["a", "bb"]), ("q", ["ccc"])]


def test_batches_are_as_large_as_asked(asked):
    scored(asked, [pair("q", "a" * n) for n in range(1, 6)], batch_size=2)
    assert asked.calls == [("q", ["a", "aa"]), ("q", ["aaa", "aaaa"]), ("q", ["aaaaa"])]


def test_columns_come_behind_the_others_and_have_fixed_types():
    table = pa.table({"query": ["q"], "text": [None], "id": [7]})
    table = table.set_column(1, "text", table["text"].cast(pa.string()))
    found, _ = PairScorer(Reranker(Length()), COLUMNS, 1)(table)
    assert found.schema.names == ["query", "text", "id", "score", "relevance", "error"]
    assert found.schema.types[3:] == [pa.float64(), pa.float64(), pa.string()]


def test_a_score_that_is_no_number_fails_alone():
    class Broken:
        def score(self, query, texts):
            return [float("nan") if text == "bad" else 1.0 for text in texts]

    found, tally = scored(Broken(), [pair("q", "good"), pair("q", "bad"), pair("q", "fine")])
    assert [row["score"] for row in found] == [1.0, None, 1.0]
    assert "NaN" in found[1]["error"]
    assert tally == Tally(rows=3, texts=3, failed=1)


def test_relevance_is_the_scorer_s_own():
    class Percent:
        def score(self, query, texts):
            return [50.0 for _ in texts]

        def relevance(self, query, scores):
            return [score / 100 for score in scores]

    ((row,), _) = scored(Percent(), [pair("q", "a")])
    assert (row["score"], row["relevance"]) == (50.0, 0.5)


def test_bytes_that_are_no_utf8_are_a_failure_of_their_row_alone():
    column = pa.array([b"good", b"\xff\xfe", b"fine"]).view(pa.string())
    table = pa.table({"query": ["q", "q", "q"], "text": column})
    found, tally = PairScorer(Reranker(Length()), COLUMNS, 10)(table)
    assert found["score"].to_pylist() == [4.0, None, 4.0]
    assert "not valid UTF-8" in found["error"][1].as_py()
    assert tally.failed == 1


def test_dictionaries_and_large_strings_are_strings():
    table = pa.table(
        {
            "query": pa.array(["q", "q"]).dictionary_encode(),
            "text": pa.array(["a", "bb"], pa.large_string()),
        }
    )
    found, _ = PairScorer(Reranker(Length()), COLUMNS, 10)(table)
    assert found["score"].to_pylist() == [1.0, 2.0]


def test_a_cascade_ranks_each_list_as_the_reranker_does():
    class Vowels:
        def score(self, query, texts):
            return [float(sum(letter in "aeiou" for letter in text)) for text in texts]

    cascade = Reranker.cascade([Length(), Vowels()], keep=2)
    texts = ["rhythm", "area", "sky", "eerie"]
    table = pa.Table.from_pylist([pair("q", texts)])
    found, _ = PairScorer(cascade, COLUMNS, 10)(table)
    hits = cascade.rank("q", texts)
    (scores,), (relevance,) = found["score"].to_pylist(), found["relevance"].to_pylist()
    assert {hit.index: hit.score for hit in hits} == dict(enumerate(scores))
    assert {hit.index: hit.relevance for hit in hits} == dict(enumerate(relevance))


def test_a_cascade_that_fails_has_no_places_to_give():
    cascade = Reranker.cascade([Length(), Length("bad")], keep=3)
    table = pa.Table.from_pylist([pair("q", ["a", "bad", "ccc"]), pair("q", ["a", "bb"])])
    found, tally = PairScorer(cascade, COLUMNS, 10)(table)
    assert found["score"].to_pylist() == [[None] * 3, [1.0, 2.0]]
    assert tally == Tally(rows=2, texts=5, failed=3)


def test_tokens_are_counted_over_all_threads(make):
    reranker = Reranker(make("bert_reranker"), device="cpu", dtype="float32", max_length=16)
    rows = [pair(f"q {n}", "a bear " * 20) for n in range(8)]
    _, tally = PairScorer(reranker, COLUMNS, 100)(pa.Table.from_pylist(rows))
    assert (tally.tokens, tally.cut) == (8 * 16, 8)


@pytest.mark.parametrize("bad", [[], [0], [9], [3, 4], list(range(10))])
def test_halving_finds_all_that_is_wrong_and_nothing_else(bad):
    def work(items):
        if any(item in bad for item in items):
            raise ValueError("no")
        return [item * 2 for item in items]

    found = in_halves(work, range(10))
    assert [place for place, one in enumerate(found) if not isinstance(one, int)] == bad
    assert all(one == place * 2 for place, one in enumerate(found) if isinstance(one, int))
