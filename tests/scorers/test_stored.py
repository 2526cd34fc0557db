"""Ranking from a store: the scores of the reference, and nothing encoded twice."""

from __future__ import annotations

import importlib.util
import random
import shutil
import sqlite3
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from tests.kinds import CROSS_ENCODERS, LATE_INTERACTION, reference
from tests.samples import MIXED, NASTY, QUERY, random_texts

from rag_rerankers import ModelOptions, Reranker, StoreError, TokenStore, TruncationWarning
from rag_rerankers.metering import metered
from rag_rerankers.scorers import stored as stored_module
from rag_rerankers.store.database import FILE

TEXTS = list(dict.fromkeys([*MIXED, *random_texts(2, 12)]))
N_CUT = 1
STANFORD = LATE_INTERACTION[0]
needs_colbert = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("colbert", "faiss")),
    reason="needs colbert-ai (extra plaid)",
)
pytestmark = pytest.mark.filterwarnings("ignore::rag_rerankers.TruncationWarning")


@pytest.fixture(params=[k for k in LATE_INTERACTION if "-bin" not in k.name], ids=str)
def kind(request):
    return request.param


@pytest.fixture
def open_(make, tmp_path):
    """Makes a reranker with a store, new or opened again."""

    def load(kind=STANFORD, compression="float16", memory_bytes=0, **options) -> Reranker:
        store = TokenStore(tmp_path / "store", compression=compression, memory_bytes=memory_bytes)
        settings = {"device": "cpu", "dtype": "float32", "store": store, **options}
        return Reranker(make(kind.maker, **kind.settings), **settings)

    return load


def encoded(reranker: Reranker, texts, query: str = QUERY) -> int:
    """Tokens that ranking makes the model read, beside those of the query."""
    with metered() as whole:
        reranker.rank(query, texts)
    with metered() as alone:
        reranker.scorer.encoder.query(query)
    return whole.tokens - alone.tokens


# --- scores ---


@pytest.mark.parametrize("memory_bytes", [0, 1 << 20], ids=["from disk", "from memory"])
def test_half_precision_gives_the_ranking_of_the_reference(kind, make, open_, memory_bytes):
    exact = reference(kind, make)(QUERY, TEXTS)
    reranker = open_(kind, memory_bytes=memory_bytes)
    scale = max(1.0, float(np.abs(exact).max()))
    for _ in range(2):
        found = reranker.scorer.score(QUERY, TEXTS)
        # Half precision has 11 bits: at most 2**-11 of each of the query's products.
        assert found == pytest.approx(exact, abs=scale * 2**-10)
    # Texts whose scores are not nearer to each other than that.
    order = np.argsort(-np.array(exact), kind="stable")
    gaps = -np.diff(np.array(exact)[order]) > scale * 2**-9
    places = {hit.index: place for place, hit in enumerate(reranker.rank(QUERY, TEXTS))}
    for apart, first, second in zip(gaps, order, order[1:], strict=False):
        assert not apart or places[first] < places[second]


@pytest.mark.parametrize("compression", ["float16", "int8"])
def test_scores_are_those_of_what_is_left_of_the_vectors(kind, open_, compression):
    reranker = open_(kind, compression)
    encoder, codec = reranker.scorer.encoder, reranker.scorer.stored._codec
    query = encoder.query(QUERY).vectors.numpy()
    expected = []
    for vectors in encoder.documents(TEXTS):
        records = torch.frombuffer(bytearray(codec.compress(vectors)), dtype=torch.uint8)
        left = codec.decompress(records.view(len(vectors), -1)).numpy()
        expected.append(float((query @ left.T).max(axis=1).sum()))
    if reranker.scorer.recipe.mean:
        expected = [score / len(query) for score in expected]
    assert reranker.scorer.score(QUERY, TEXTS) == pytest.approx(expected, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_a_score_does_not_depend_on_what_the_store_held(open_, dtype):
    first = open_(compression="int8", dtype=dtype)
    cold = first.scorer.score(QUERY, TEXTS)
    assert first.scorer.score(QUERY, TEXTS) == cold
    assert open_(compression="int8", dtype=dtype).scorer.score(QUERY, TEXTS) == cold
    again = open_(compression="int8", dtype=dtype)
    backwards = again.scorer.score(QUERY, TEXTS[::-1])[::-1]
    assert backwards == pytest.approx(cold, abs=1e-5)


def test_relevance_and_warnings_are_as_without_a_store(make, open_):
    plain = Reranker(make(STANFORD.maker, **STANFORD.settings), device="cpu", dtype="float32")
    reranker = open_()
    long = "panda " * 400
    for _ in range(2):
        with pytest.warns(TruncationWarning) as told:
            hits = reranker.rank(QUERY, [long, "bear"])
        with pytest.warns(TruncationWarning) as expected:
            wanted = plain.rank(QUERY, [long, "bear"])
        assert [str(w.message) for w in told] == [str(w.message) for w in expected]
        assert [h.relevance for h in hits] == pytest.approx([h.relevance for h in wanted], abs=1e-3)


def test_windows_of_a_long_text_are_kept_and_the_best_counts(make, open_):
    options = {"max_length": 16, "long_documents": "max_passage"}
    texts = [" ".join(random_texts(seed, 4, longest=40)) for seed in range(6)] + ["short", ""]
    folder = make(STANFORD.maker, **STANFORD.settings)
    plain = Reranker(folder, device="cpu", dtype="float32", **options)
    reranker = open_(**options)
    for _ in range(2):
        assert reranker.scorer.score(QUERY, texts) == pytest.approx(
            plain.scorer.score(QUERY, texts), abs=0.05
        )
    assert encoded(reranker, texts) == 0


def test_strange_texts_are_kept_apart(open_, make):
    texts = [*NASTY.values(), *NASTY.values()]
    plain = Reranker(make(STANFORD.maker, **STANFORD.settings), device="cpu", dtype="float32")
    exact = plain.scorer.score(QUERY, texts)
    reranker = open_()
    for _ in range(2):
        assert reranker.scorer.score(QUERY, texts) == pytest.approx(exact, abs=0.05)


# --- nothing twice ---


def test_a_text_is_encoded_once(open_):
    reranker = open_()
    assert encoded(reranker, TEXTS) > 0
    assert encoded(reranker, TEXTS) == 0
    assert encoded(reranker, TEXTS, "another question") == 0
    assert encoded(open_(), TEXTS[::-1]) == 0, "after a restart"


def test_only_a_text_that_changed_is_encoded_again(open_):
    reranker = open_()
    reranker.warm(TEXTS)
    changed = [*TEXTS[:4], TEXTS[4] + " today", *TEXTS[5:]]
    with metered() as alone:
        reranker.scorer.encoder.documents([changed[4]])
    assert encoded(reranker, changed) == alone.tokens
    warmed = open_().warm([*changed, "new"])
    assert (warmed.texts, warmed.encoded, warmed.present) == (len(changed) + 1, 1, len(changed))


def test_one_text_many_times_is_encoded_once(open_):
    reranker = open_()
    with metered() as alone:
        reranker.scorer.encoder.documents(["the giant panda"])
    assert encoded(reranker, ["the giant panda"] * 200) == alone.tokens
    (first, *others) = reranker.scorer.score(QUERY, ["the giant panda"] * 200)
    assert set(others) == {first}


@pytest.mark.parametrize(
    "other",
    [
        {"kind": LATE_INTERACTION[6]},
        {"max_length": 20},
        {"long_documents": "max_passage"},
        {"compression": "int8"},
        {"dtype": "bfloat16"},
    ],
    ids=lambda other: next(iter(other)),
)
def test_what_changes_the_vectors_has_entries_of_its_own(open_, other):
    open_().warm(TEXTS)
    assert open_(**other).warm(TEXTS).encoded == len(TEXTS)
    assert open_().warm(TEXTS).encoded == 0


def test_a_model_is_known_by_its_content_not_its_place(make, tmp_path):
    folder = make(STANFORD.maker, **STANFORD.settings)
    moved, changed = tmp_path / "moved", tmp_path / "changed"
    shutil.copytree(folder, moved)
    shutil.copytree(folder, changed)
    weights = next(changed.glob("*.safetensors"))
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    number = [
        Reranker(path, dtype="float32", store=tmp_path / "store").warm(TEXTS).encoded
        for path in (folder, moved, changed)
    ]
    assert number == [len(TEXTS), 0, len(TEXTS)]


# --- warming ---


@pytest.mark.parametrize("texts_at_once", [1, 5, 256])
def test_warming_tells_how_far_it_is(open_, monkeypatch, texts_at_once):
    monkeypatch.setattr(stored_module, "_TEXTS", texts_at_once)
    told = []
    warmed = open_().warm(iter(TEXTS), tell=told.append)
    assert sum(told) == len(TEXTS)
    assert (warmed.texts, warmed.encoded, warmed.cut) == (len(TEXTS), len(TEXTS), N_CUT)
    assert warmed.seconds > 0
    reranker = open_()
    assert encoded(reranker, TEXTS) == 0


def test_a_text_that_is_given_twice_is_encoded_once(open_, monkeypatch):
    monkeypatch.setattr(stored_module, "_TEXTS", 3)
    warmed = open_().warm([*TEXTS, *TEXTS[::-1]])
    assert (warmed.texts, warmed.encoded, warmed.present) == (
        2 * len(TEXTS),
        len(TEXTS),
        len(TEXTS),
    )


def test_texts_that_changed_here_and_there_are_encoded_together(open_, monkeypatch):
    monkeypatch.setattr(stored_module, "_TEXTS", 4)
    texts = [f"the panda number {number}" for number in range(40)]
    reranker = open_()
    reranker.warm(texts)
    sizes = []
    plain = stored_module.Encoding

    def recorded(encoder, codec, wanted):
        sizes.append(len(wanted))
        return plain(encoder, codec, wanted)

    monkeypatch.setattr(stored_module, "Encoding", recorded)
    told = []
    changed = [text + " today" if n % 4 == 2 else text for n, text in enumerate(texts)]
    assert reranker.warm(changed, tell=told.append).encoded == 10
    assert sizes == [4, 4, 2]
    assert sum(told) == 40


def test_an_interrupted_warming_goes_on_where_it_stopped(open_, monkeypatch):
    monkeypatch.setattr(stored_module, "_TEXTS", 3)

    def stops():
        yield from TEXTS[:15]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_().warm(stops())
    present = open_().warm(TEXTS).present
    assert 3 <= present < 15


def test_warming_counts_what_is_cut(open_):
    assert open_().warm(["panda " * 400, "bear"]).cut == 1


def test_warming_needs_a_store_and_a_model_that_keeps_something(make):
    late = Reranker(make(STANFORD.maker, **STANFORD.settings), dtype="float32")
    with pytest.raises(ValueError, match="no store to warm: make the Reranker with store="):
        late.warm(["a"])
    cross = Reranker(make(CROSS_ENCODERS[0].maker), dtype="float32")
    with pytest.raises(ValueError, match="only a late-interaction model with a store"):
        cross.warm(["a"])


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ("one", "not str"),
        ({"a": 1}, "not dict"),
        (["a", None], "text 1 is not a string"),
        (3, "int"),
    ],
)
def test_warming_refuses_what_are_not_texts(open_, texts, message):
    with pytest.raises(TypeError, match=message):
        open_().warm(texts)


def test_a_cross_encoder_has_nothing_to_store(make, tmp_path):
    with pytest.raises(ValueError, match=r"store=.* is for late-interaction models"):
        Reranker(make(CROSS_ENCODERS[0].maker), store=tmp_path / "store")
    assert not (tmp_path / "store").exists()


# --- trouble ---


def test_a_damaged_entry_is_encoded_again(open_, tmp_path):
    reranker = open_()
    expected = reranker.scorer.score(QUERY, TEXTS)
    reranker.scorer.stored._store.close()
    with sqlite3.connect(tmp_path / "store" / FILE) as connection:
        connection.execute("UPDATE entries SET data = zeroblob(size) WHERE id % 3 = 0")
    again = open_()
    assert encoded(again, TEXTS) > 0
    assert again.scorer.score(QUERY, TEXTS) == pytest.approx(expected, abs=1e-5)
    assert encoded(open_(), TEXTS) == 0


def test_a_damaged_store_is_refused_when_the_model_is_loaded(make, tmp_path):
    (tmp_path / FILE).write_bytes(b"something else entirely" * 50)
    with pytest.raises(StoreError, match="is damaged, or is not a token store"):
        Reranker(make(STANFORD.maker, **STANFORD.settings), store=tmp_path)


def test_a_store_that_cannot_be_written_does_not_stop_ranking(open_, monkeypatch, caplog):
    reranker = open_()
    expected = reranker.scorer.score(QUERY, TEXTS)

    def full(*_):
        raise StoreError("no room")

    monkeypatch.setattr(TokenStore, "put", full)
    assert reranker.scorer.score(QUERY, [*TEXTS, "new"])[:-1] == expected
    assert "not stored, and encoded again next time: no room" in caplog.text
    with pytest.raises(StoreError, match="no room"):
        reranker.warm(["newer"])


def test_not_a_number_is_never_stored(open_, monkeypatch):
    reranker = open_()
    plain = reranker.scorer.encoder._vectors

    def broken(sequences, states, side):
        vectors, lengths = plain(sequences, states, side)
        if side is reranker.scorer.recipe.document:
            vectors = vectors * float("nan")
        return vectors, lengths

    monkeypatch.setattr(reranker.scorer.encoder, "_vectors", broken)
    assert np.isnan(reranker.scorer.score(QUERY, TEXTS)).all()
    monkeypatch.undo()
    assert np.isfinite(open_().scorer.score(QUERY, TEXTS)).all()


def test_many_threads_rank_from_one_store(open_):
    reranker = open_(compression="int8", memory_bytes=4000)
    chance = random.Random(5)
    jobs = [chance.sample(TEXTS, 6) for _ in range(60)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda texts: reranker.scorer.score(QUERY, texts), jobs))
    alone = dict(zip(TEXTS, reranker.scorer.score(QUERY, TEXTS), strict=True))
    for texts, scores in zip(jobs, found, strict=True):
        assert scores == pytest.approx([alone[text] for text in texts], abs=1e-5)


# --- options ---


def test_the_store_is_an_option_like_any_other(tmp_path):
    options = ModelOptions(store=tmp_path)
    assert options == ModelOptions(store=str(tmp_path))
    assert options.as_kwargs()["store"] == str(tmp_path)
    own = ModelOptions(store=TokenStore(tmp_path, compression="float16"))
    assert own != options
    assert hash(own) == hash(ModelOptions(store=TokenStore(tmp_path, compression="float16")))
    with pytest.raises(TypeError, match="store must be the path of a folder, a TokenStore or None"):
        ModelOptions(store=3)
    with pytest.raises(TypeError, match="not ''"):
        ModelOptions(store="")


# --- a compression that learns ---


@needs_colbert
def test_a_compression_learns_when_the_store_is_warmed(open_, make, tmp_path):
    kind = LATE_INTERACTION[6]  # 32 numbers a vector
    reranker = open_(kind, "residual4")
    with pytest.raises(StoreError, match=r"residual4 learns from the model's vectors.*warm it"):
        reranker.rank(QUERY, TEXTS)
    other = open_(kind, "residual4")
    texts = [*TEXTS, *random_texts(9, 200)]
    assert reranker.warm(iter(texts)).encoded == len(set(texts))
    scores = reranker.scorer.score(QUERY, texts)
    assert other.scorer.score(QUERY, texts) == pytest.approx(scores, abs=1e-5)
    assert encoded(other, texts) == 0
    exact = reference(kind, make)(QUERY, texts)
    assert np.corrcoef(exact, scores)[0, 1] > 0.95
    assert open_(kind, "residual4").warm(texts).encoded == 0


@needs_colbert
def test_vectors_that_differ_in_length_keep_only_part_of_themselves(open_):
    kind = LATE_INTERACTION[4]
    if open_(kind).scorer.recipe.normalize:
        pytest.skip("this one scales its vectors")
    with pytest.raises(ValueError, match="keeps directions only"):
        open_(kind, "residual2")
