from __future__ import annotations

import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.kinds import LATE_INTERACTION
from tests.plaid.needs import needs_colbert
from tests.plaid.passages import Exhaustive, passages
from tests.stand_ins import Length

from rag_rerankers import PlaidIndexError, Reranker, TruncationWarning, clear_shared_rerankers
from rag_rerankers.plaid import PlaidHit, PlaidIndex

needs_colbert()

TEXTS = passages(60)
IDS = [f"p{number}" for number in range(60)]
QUERIES = passages(8, seed=99)


@pytest.fixture(scope="module")
def built(tmp_path_factory, reranker):
    return PlaidIndex.build(tmp_path_factory.mktemp("plaid") / "index", IDS, TEXTS, reranker)


@pytest.mark.parametrize("query", QUERIES)
def test_exact_hits_are_those_of_an_exhaustive_search(built, reranker, query):
    # 50 candidates of 60 passages: none of the best is missed, even with random weights.
    expected = Exhaustive(reranker, dict(zip(IDS, TEXTS, strict=True))).search(query, 5)
    assert [(hit.id, hit.score) for hit in built.search(query, 5)] == [
        (id_, pytest.approx(score, abs=1e-5)) for id_, score in expected
    ]


def test_hits_hold_what_was_given(built, reranker):
    hit = built.search(QUERIES[0], 1)[0]
    assert isinstance(hit, PlaidHit)
    assert hit.text == TEXTS[IDS.index(hit.id)]
    (ranked,) = reranker.rank(QUERIES[0], [hit.text])
    assert (hit.score, hit.relevance) == pytest.approx((ranked.score, ranked.relevance), abs=1e-5)


@pytest.mark.parametrize("query", QUERIES)
def test_estimated_scores_are_close_to_the_exact_ones(built, reranker, query):
    hits = built.search(query, 10, exact=False)
    exact = {hit.index: hit.score for hit in reranker.rank(query, TEXTS)}
    assert len(hits) == 10
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert all(0 <= hit.relevance <= 1 for hit in hits)
    for hit in hits:
        assert hit.score == pytest.approx(exact[IDS.index(hit.id)], rel=0.1)


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("k", [1, 7, 59, 60, 61, 1000])
def test_as_many_hits_as_there_are_passages_and_no_passage_twice(built, k, exact):
    found = [hit.id for hit in built.search(QUERIES[0], k, exact=exact)]
    assert len(found) == len(set(found)) == min(k, 60)


def test_searches_do_not_depend_on_earlier_ones(built):
    def all_of(ks):
        return {k: built.search(QUERIES[1], k, exact=False) for k in ks}

    assert all_of([1, 20, 200]) == all_of([200, 20, 1])


def test_the_same_texts_give_the_same_index(built, tmp_path, reranker):
    again = PlaidIndex.build(tmp_path / "again", IDS, TEXTS, reranker)
    for query in QUERIES:
        ours, theirs = built.search(query, 20, exact=False), again.search(query, 20, exact=False)
        assert ours == theirs


def test_everybodys_random_numbers_stay_what_they_were(tmp_path, reranker):
    import random

    import torch

    random.seed(1)
    torch.manual_seed(1)
    before = (random.getstate(), torch.get_rng_state().tolist())
    PlaidIndex.build(tmp_path / "index", ["a"], ["panda"], reranker)
    assert (random.getstate(), torch.get_rng_state().tolist()) == before


def test_threads_share_an_index(built):
    expected = {query: built.search(query, 5) for query in QUERIES}
    with ThreadPoolExecutor(8) as threads:
        for query, found in zip(QUERIES * 5, threads.map(built.search, QUERIES * 5), strict=True):
            assert [hit.id for hit in found[:5]] == [hit.id for hit in expected[query]]
            # Threads share forward passes, and a product of another shape rounds otherwise.
            scores = [hit.score for hit in expected[query]]
            assert [hit.score for hit in found[:5]] == pytest.approx(scores, abs=1e-4)


async def test_asyncio(built):
    import asyncio

    found = await asyncio.gather(*(built.asearch(query, 3) for query in QUERIES))
    assert list(found) == [built.search(query, 3) for query in QUERIES]
    with pytest.raises(ValueError, match="k must be at least 1, not 0"):
        await built.asearch("q", 0)


@pytest.mark.parametrize("kind", LATE_INTERACTION, ids=str)
def test_every_layout_of_late_interaction(kind, loader, tmp_path):
    model = Reranker(loader(kind))
    index = PlaidIndex.build(tmp_path / "index", IDS, TEXTS, model)
    for query in QUERIES[:2]:
        expected = Exhaustive(model, dict(zip(IDS, TEXTS, strict=True))).search(query, 3)
        assert [(hit.id, hit.score) for hit in index.search(query, 3)] == [
            (id_, pytest.approx(score, abs=1e-4)) for id_, score in expected
        ]


@pytest.mark.parametrize("settings", [{"normalize": False}, {"similarity": "meanmaxsim"}])
def test_unusual_ways_to_compare(make, tmp_path, settings):
    model = Reranker(make("st_multivector", **settings), device="cpu", dtype="float32")
    index = PlaidIndex.build(tmp_path / "index", IDS, TEXTS, model)
    best = model.rank(QUERIES[0], TEXTS, top_n=3)
    assert [hit.id for hit in index.search(QUERIES[0], 3)] == [IDS[hit.index] for hit in best]
    assert all(0 <= hit.relevance <= 1 for hit in index.search(QUERIES[0], 60, exact=False))


@pytest.mark.parametrize("nbits", [1, 2, 4])
@pytest.mark.parametrize("dim", [8, 12, 32])
def test_every_width_and_number_of_bits(make, tmp_path, dim, nbits):
    model = Reranker(make("stanford_colbert", dim=dim), device="cpu", dtype="float32")
    index = PlaidIndex.build(tmp_path / "index", IDS, TEXTS, model, nbits=nbits)
    best = model.rank(QUERIES[0], TEXTS, top_n=3)
    assert [hit.id for hit in index.search(QUERIES[0], 3)] == [IDS[hit.index] for hit in best]


def test_windows_of_long_documents_are_found(make, tmp_path):
    end = "rust python list search engine"
    texts = ["panda bear " * 40 + end, *TEXTS]
    ids = ["long", *IDS]
    folder = make("stanford_colbert", doc_maxlen=24)
    model = Reranker(folder, device="cpu", dtype="float32", long_documents="max_passage")
    index = PlaidIndex.build(tmp_path / "index", ids, texts, model)
    best = model.rank(end, texts, top_n=3)
    assert [hit.id for hit in index.search(end, 3)] == [ids[hit.index] for hit in best]


def test_texts_that_are_cut_are_told_of_once(make, tmp_path):
    model = Reranker(make("stanford_colbert", doc_maxlen=12), device="cpu", dtype="float32")
    with pytest.warns(TruncationWarning, match=r"1 of 2 texts were cut.*max_passage") as told:
        PlaidIndex.build(tmp_path / "index", ["a", "b"], ["panda " * 20, "bear"], model)
    assert len(told) == 1
    assert told[0].filename == __file__


# --- opening ---


def test_an_index_remembers_its_model(make, tmp_path):
    folder = make("stanford_colbert")
    built = PlaidIndex.build(
        tmp_path / "index", IDS, TEXTS, folder, device="cpu", dtype="float32", max_length=40
    )
    clear_shared_rerankers()
    opened = PlaidIndex.open(tmp_path / "index", dtype="float32")
    assert opened.reranker.options.max_length == 40
    assert opened.search(QUERIES[0], 3) == built.search(QUERIES[0], 3)
    assert PlaidIndex.open(tmp_path / "index", dtype="float32").reranker is opened.reranker
    assert (opened.ids, len(opened)) == (IDS, 60)
    assert "60 passages" in repr(opened)
    clear_shared_rerankers()


def test_the_same_model_may_come_in_another_precision(make, tmp_path):
    folder = make("stanford_colbert")
    PlaidIndex.build(tmp_path / "index", IDS, TEXTS, folder, device="cpu", dtype="float32")
    for dtype in ("int8", "bfloat16"):
        opened = PlaidIndex.open(tmp_path / "index", folder, device="cpu", dtype=dtype)
        assert len(opened.search(QUERIES[0], 3)) == 3


@pytest.mark.parametrize(
    ("maker", "settings"),
    [
        ("stanford_colbert", {"seed": 1}),
        ("stanford_colbert", {"dim": 8}),
        ("stanford_colbert", {"mask_punctuation": False}),
        ("bert_encoder", {}),
    ],
)
def test_another_model_is_refused(built, make, maker, settings):
    other = Reranker(make(maker, **settings), device="cpu", dtype="float32")
    with pytest.raises(PlaidIndexError, match=r"is another model.*open it with its own"):
        PlaidIndex.open(built.path, other)


def test_a_scorer_of_ones_own_must_be_given_again(tmp_path, reranker):
    mine = Reranker(reranker.scorer)
    PlaidIndex.build(tmp_path / "index", ["a"], ["panda"], mine)
    with pytest.raises(PlaidIndexError, match=r"LateInteractionScorer.*give it as model="):
        PlaidIndex.open(tmp_path / "index")
    assert len(PlaidIndex.open(tmp_path / "index", mine)) == 1


def test_an_index_can_be_pickled(built):
    back = pickle.loads(pickle.dumps(built))
    assert back.ids == built.ids
    assert len(back.search(QUERIES[0], 3)) == 3


# --- mistakes ---


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"ids": [], "texts": []}, ValueError, "no passage"),
        ({"ids": ["a", "a"], "texts": ["x", "y"]}, ValueError, "'a' is given twice"),
        ({"nbits": 3}, ValueError, "nbits must be 1, 2 or 4, not 3"),
        ({"nbits": True}, ValueError, "not True"),
        ({"model": Length()}, ValueError, r"Reranker\('Length'\) is not a late-interaction model"),
        ({"dtype": "float32"}, ValueError, "dtype cannot be set for a ready model"),
    ],
)
def test_mistakes_are_told_and_nothing_is_written(tmp_path, reranker, arguments, error, match):
    given = {"ids": ["a"], "texts": ["x"], "model": reranker, **arguments}
    with pytest.raises(error, match=match):
        PlaidIndex.build(tmp_path / "index", **given)
    assert not (tmp_path / "index").exists()


def test_cross_encoders_are_refused(make, tmp_path):
    with pytest.raises(ValueError, match="not a late-interaction model"):
        PlaidIndex.build(tmp_path / "index", ["a"], ["x"], make("bert_reranker"))


@pytest.mark.parametrize(
    ("query", "k", "error", "match"),
    [
        (None, 3, ValueError, "missing"),
        (7, 3, TypeError, "not int: 7"),
        ("q", 0, ValueError, "k must be at least 1, not 0"),
        ("q", 2.5, TypeError, r"k must be an int, not 2\.5"),
        ("q", True, TypeError, "not True"),
    ],
)
def test_mistakes_in_a_search(built, query, k, error, match):
    with pytest.raises(error, match=match):
        built.search(query, k)


def test_exact_is_yes_or_no(built):
    with pytest.raises(TypeError, match="exact must be a bool, not 'approximately'"):
        built.search("q", exact="approximately")


def test_an_index_is_not_overwritten_unasked(index, reranker):
    with pytest.raises(FileExistsError, match=r"add\(\).*overwrite=True"):
        PlaidIndex.build(index.path, ["a"], ["panda"], reranker)
    PlaidIndex.build(index.path, ["a"], ["panda"], reranker, overwrite=True)
    assert PlaidIndex.open(index.path, reranker).ids == ["a"]
    assert len(index) == 60  # who has the old one open keeps it
    index.refresh()
    assert index.ids == ["a"]


def test_foreign_unfinished_and_missing_folders(tmp_path, reranker):
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "metadata.json").touch()
    with pytest.raises(PlaidIndexError, match=r"not a PLAID index.*'metadata\.json'"):
        PlaidIndex.open(tmp_path / "foreign")
    with pytest.raises(PlaidIndexError, match=r"not a PLAID index.*'metadata\.json'"):
        PlaidIndex.build(tmp_path / "foreign", ["a"], ["x"], reranker, overwrite=True)
    (tmp_path / "begun" / ".writing").mkdir(parents=True)
    for name in ("begun", "nowhere"):
        with pytest.raises(PlaidIndexError, match="no finished index"):
            PlaidIndex.open(tmp_path / name)
    assert len(PlaidIndex.build(tmp_path / "begun", ["a"], ["x"], reranker)) == 1


FILES = (
    "0.codes.pt", "0.metadata.json", "0.residuals.pt", "avg_residual.pt", "buckets.pt",
    "centroids.pt", "doclens.0.json", "index.json", "ivf.pid.pt", "metadata.json",
    "passages.0.jsonl", "probe.pt",
)  # fmt: skip


def test_the_files_are_known(index):
    (generation,) = (entry for entry in index.path.iterdir() if entry.is_dir())
    assert sorted(entry.name for entry in generation.iterdir()) == sorted(FILES)


@pytest.mark.parametrize("harm", ["cut", "changed", "missing"])
@pytest.mark.parametrize("name", FILES)
def test_damage_is_noticed(index, reranker, name, harm):
    (generation,) = (entry for entry in index.path.iterdir() if entry.is_dir())
    file = generation / name
    content = file.read_bytes()
    if harm == "missing":
        file.unlink()
    elif harm == "cut":
        file.write_bytes(content[: len(content) // 2])
    else:
        middle = len(content) // 2
        changed = bytes([content[middle] ^ 255])
        file.write_bytes(content[:middle] + changed + content[middle + 1 :])
    with pytest.raises(PlaidIndexError, match=r"(damaged|missing).*[Bb]uild"):
        PlaidIndex.open(index.path, reranker)


def test_an_index_of_another_version_is_refused(index, reranker):
    (generation,) = (entry for entry in index.path.iterdir() if entry.is_dir())
    record = generation / "index.json"
    record.write_text(record.read_text().replace('"format": 1', '"format": 2'))
    with pytest.raises(PlaidIndexError, match=r"format 2.*reads 1"):
        PlaidIndex.open(index.path, reranker)


# --- what colbert-ai would do by itself ---

QUIET = """
import multiprocessing, os, sys
if sys.argv[3]: multiprocessing.set_start_method(sys.argv[3])
from rag_rerankers import Reranker
from rag_rerankers.plaid import PlaidIndex
reranker = Reranker(sys.argv[2], device="cpu")
before = (multiprocessing.get_start_method(allow_none=True), dict(os.environ))
index = PlaidIndex.build(sys.argv[1], ["a", "b"], ["panda", "bear"], reranker)
index.add(["c"], ["china"])
assert len(index.search("panda", 5)) == 3
assert (multiprocessing.get_start_method(allow_none=True), dict(os.environ)) == before
"""


@pytest.mark.parametrize("method", [None, "fork", "forkserver"])
def test_nothing_is_printed_compiled_or_changed(make, tmp_path, method, monkeypatch):
    # No compiler, no ninja, no git; and what would be compiled would lie here.
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path / "extensions"))
    monkeypatch.delenv("TOKENIZERS_PARALLELISM", raising=False)
    folder = make("stanford_colbert")
    done = subprocess.run(
        [sys.executable, "-c", QUIET, str(tmp_path / "index"), str(folder), method or ""],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    noise = done.stderr.replace("\r", "\n").splitlines()
    assert [line for line in noise if line and not line.startswith("Loading weights:")] == []
    assert not (tmp_path / "extensions").exists()


def test_a_bar_is_shown_on_request(tmp_path, reranker, capsys):
    PlaidIndex.build(tmp_path / "index", IDS, TEXTS, reranker, show_progress=True)
    shown = capsys.readouterr()
    assert "60/60" in shown.err
    assert shown.out == ""
