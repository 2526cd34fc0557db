"""Passages come and go, and processes die in between."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

import pytest
from tests.plaid.needs import needs_colbert
from tests.plaid.passages import Exhaustive, passages

from rag_rerankers import PlaidIndexError
from rag_rerankers.plaid import PlaidIndex
from rag_rerankers.plaid import folder as folder_module

needs_colbert()

TEXTS = dict(zip((f"p{number}" for number in range(60)), passages(60), strict=True))
MORE = dict(zip((f"q{number}" for number in range(30)), passages(30, seed=5), strict=True))
QUERIES = passages(4, seed=77)


def assert_holds(index, reranker, texts):
    """Searches find what an exhaustive search over these texts finds; reopened, too."""
    for opened in (index, PlaidIndex.open(index.path, reranker)):
        assert opened.ids == list(texts)
        assert len(opened) == len(texts)
        for query in QUERIES:
            expected = Exhaustive(reranker, texts).search(query, 4)
            assert [(hit.id, hit.score) for hit in opened.search(query, 4)] == [
                (id_, pytest.approx(score, abs=1e-4)) for id_, score in expected
            ]
            everything = opened.search(query, 500, exact=False)
            assert {hit.id: hit.text for hit in everything} == texts


def test_added_passages_are_found(index, reranker):
    index.add(MORE, MORE.values(), [{"number": number} for number in range(len(MORE))])
    assert_holds(index, reranker, TEXTS | MORE)
    (hit,) = index.search(MORE["q7"], 1)
    assert (hit.id, hit.metadata) == ("q7", {"number": 7})


def test_passages_are_added_one_by_one(index, reranker):
    for id_, text in list(MORE.items())[:8]:
        index.add([id_], [text])
    assert_holds(index, reranker, TEXTS | dict(list(MORE.items())[:8]))


def test_nothing_added_is_nothing_written(index):
    before = list(index.path.iterdir())
    index.add([], [])
    index.delete([])
    assert list(index.path.iterdir()) == before


def test_chunks_are_joined(index, reranker, monkeypatch):
    from rag_rerankers.plaid import writing

    monkeypatch.setattr(writing, "_SMALL", 1)
    sizes = []
    for id_, text in list(MORE.items())[:8]:
        index.add([id_], [text])
        sizes.append(index._generation.record.chunks)
    assert sizes[:5] == [(60, 1), (60, 2), (60, 2, 1), (60, 4), (60, 4, 1)]
    assert sizes[-1] == (60, 8)
    index.delete(["p3", "q1"])
    assert_holds(
        index,
        reranker,
        {
            id_: text
            for id_, text in (TEXTS | dict(list(MORE.items())[:8])).items()
            if id_ not in ("p3", "q1")
        },
    )


def test_deleted_passages_are_found_no_more(index, reranker):
    gone = [f"p{number}" for number in range(0, 20, 2)]
    index.delete(gone)
    assert index._generation.record.chunks == (60,)
    assert_holds(index, reranker, {id_: t for id_, t in TEXTS.items() if id_ not in gone})
    index.add(["p4"], ["panda bear"])  # a deleted id is free again
    assert "panda bear" in {hit.text for hit in index.search("panda", 60) if hit.id == "p4"}
    index.compact()
    assert index._generation.record.chunks == (51,)
    left = {id_: t for id_, t in TEXTS.items() if id_ not in gone} | {"p4": "panda bear"}
    assert_holds(index, reranker, left)


def test_an_index_of_which_a_third_is_dead_is_made_compact(index, reranker):
    gone = [f"p{number}" for number in range(21)]
    index.delete(gone[:20])
    assert index._generation.record.chunks == (60,)
    index.delete(gone[20:])
    assert index._generation.record.chunks == (39,)
    assert_holds(index, reranker, {id_: t for id_, t in TEXTS.items() if id_ not in gone})


def test_an_index_may_become_empty_and_fill_again(index, reranker):
    index.delete(index.ids)
    assert (len(index), index.ids) == (0, [])
    assert index.search("panda", 3) == index.search("panda", 3, exact=False) == []
    index.add(MORE, MORE.values())
    assert_holds(index, reranker, MORE)


def test_mistakes_are_told_and_nothing_changes(index, reranker):
    with pytest.raises(ValueError, match=r"'p7' is in the index already.*delete\(\)"):
        index.add(["new", "p7"], ["x", "y"])
    with pytest.raises(ValueError, match="'x' is given twice"):
        index.add(["x", "x"], ["x", "y"])
    with pytest.raises(ValueError, match="'nobody' is not in the index of 60 passages"):
        index.delete(["p1", "nobody"])
    with pytest.raises(TypeError, match="ids must be a list"):
        index.delete("p1")
    assert_holds(index, reranker, TEXTS)


def test_an_outgrown_index_gets_new_centroids(tmp_path, reranker):
    index = PlaidIndex.build(tmp_path / "index", ["p0"], [TEXTS["p0"]], reranker)
    few = index._generation.record.n_centroids
    index.delete(["p0"])
    index.add(TEXTS, TEXTS.values())
    assert index._generation.record.n_centroids > 4 * few
    index.add(MORE, MORE.values())
    assert_holds(index, reranker, TEXTS | MORE)
    exact = {hit.index: hit.score for hit in reranker.rank(QUERIES[0], list(TEXTS.values()))}
    for hit in index.search(QUERIES[0], 20, exact=False):
        if hit.id in TEXTS:
            assert hit.score == pytest.approx(exact[list(TEXTS).index(hit.id)], rel=0.1)


# --- crashes ---

STEPS = [
    ("rag_rerankers.plaid.writing", "compressed"),
    ("rag_rerankers.plaid.writing", "link"),
    ("rag_rerankers.plaid.writing", "write_chunk"),
    ("rag_rerankers.plaid.writing", "write_passages"),
    ("rag_rerankers.plaid.writing", "write_lists"),
    ("rag_rerankers.plaid.writing", "write_metadata"),
    ("rag_rerankers.plaid.writing", "_seal"),
    ("rag_rerankers.plaid.folder", "_to_disk"),
    ("rag_rerankers.plaid.folder", "_publish"),
]
LAST = ("_publish", "after")  # then it has happened


@pytest.mark.parametrize(
    ("module", "step", "when"),
    [(*step, when) for step in STEPS for when in ("before", "after") if (step[1], when) != LAST],
)
def test_an_error_at_any_step_of_an_addition_changes_nothing(
    index, reranker, monkeypatch, module, step, when
):
    original = getattr(sys.modules[module], step)

    def failing(*given):
        if when == "after":
            original(*given)
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(sys.modules[module], step, failing)
        with pytest.raises(OSError, match="no space"):
            index.add(MORE, MORE.values())
    assert_holds(index, reranker, TEXTS)
    index.add(MORE, MORE.values())
    assert_holds(index, reranker, TEXTS | MORE)


KILLED = """
import os, signal, sys
from rag_rerankers import Reranker
from rag_rerankers.plaid import PlaidIndex
path, model, step, change = sys.argv[1:]
index = PlaidIndex.open(path, Reranker(model, device="cpu", dtype="float32"))
from rag_rerankers.plaid import writing
def stop(*_, **__): os.kill(os.getpid(), signal.SIGKILL)
setattr(writing, step, stop)
if change == "add": index.add(["new"], ["panda bear"])
if change == "delete": index.delete(index.ids[:40])
if change == "build":
    PlaidIndex.build(path, ["new"], ["panda bear"], index.reranker, overwrite=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="kills by signal")
@pytest.mark.parametrize(
    ("step", "change"),
    [("_seal", "add"), ("write_lists", "delete"), ("write_passages", "build")],
)
def test_a_killed_process_changes_nothing(index, reranker, make, step, change):
    model = str(make("stanford_colbert"))
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(index.path), model, step, change],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert_holds(index, reranker, TEXTS)
    index.add(MORE, MORE.values())
    assert_holds(index, reranker, TEXTS | MORE)


# --- others who have the folder open ---


def test_changes_of_another_instance_are_kept_and_seen_after_refresh(index, reranker):
    other = PlaidIndex.open(index.path, reranker)
    index.add(["new"], ["panda bear"])
    assert "new" not in other.ids
    other.delete(["p0"])  # reads first what is there
    assert "new" in other.ids
    assert "p0" in index.ids
    index.refresh()
    assert "p0" not in index.ids
    with pytest.raises(ValueError, match="'new' is in the index already"):
        PlaidIndex.open(index.path, reranker).add(["new"], ["x"])


def test_an_id_that_another_instance_took_is_refused(index, reranker):
    other = PlaidIndex.open(index.path, reranker)
    index.add(["new"], ["panda bear"])
    with pytest.raises(ValueError, match="'new' is in the index already"):
        other.add(["new"], ["china"])
    assert "panda bear" in {hit.text for hit in other.search("panda", 61) if hit.id == "new"}


def test_threads_change_and_search_at_once(index, reranker):
    failures = []

    def search():
        for _ in range(20):
            found = index.search("panda", 5)
            if len(found) != 5 or any(hit.text != texts[hit.id] for hit in found):
                failures.append(found)

    texts = TEXTS | MORE
    threads = [threading.Thread(target=search) for _ in range(3)]
    threads += [
        threading.Thread(target=index.add, args=([id_], [text]))
        for id_, text in list(MORE.items())[:6]
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert failures == []
    assert set(index.ids) == {*TEXTS, *list(MORE)[:6]}


def test_a_generation_that_goes_while_it_is_read_is_read_again(index, reranker, monkeypatch):
    from rag_rerankers.plaid import generation

    newest = folder_module.Folder.newest
    writer = PlaidIndex.open(index.path, reranker)
    seen = []

    def overtaken(folder):
        found = newest(folder)
        if not seen:
            seen.append(found)
            monkeypatch.setattr(folder_module.Folder, "newest", newest)
            writer.add(["new"], ["panda bear"])
        return found

    monkeypatch.setattr(folder_module.Folder, "newest", overtaken)
    assert "new" in generation.newest(folder_module.Folder(index.path)).catalogue.ids


def test_an_index_rebuilt_with_another_model_is_not_mixed_with_this_one(index, make):
    from rag_rerankers import Reranker

    other = Reranker(make("stanford_colbert", seed=1), device="cpu", dtype="float32")
    PlaidIndex.build(index.path, ["a"], ["panda"], other, overwrite=True)
    with pytest.raises(PlaidIndexError, match="another model"):
        index.add(["new"], ["bear"])
    with pytest.raises(PlaidIndexError, match="another model"):
        index.refresh()
    assert PlaidIndex.open(index.path, other).ids == ["a"]
