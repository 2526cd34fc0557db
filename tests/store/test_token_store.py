"""A store under threads, processes, damage, age and lack of room."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import random
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from rag_rerankers import StoreError, TokenStore
from rag_rerankers.store import token_store
from rag_rerankers.store.database import FILE
from rag_rerankers.store.entries import StoredText
from rag_rerankers.store.shelf import Shelf

SHELF = Shelf(b"f" * 32, "a model", "int8", 10)


def text_of(number: int, vectors: int = 3) -> StoredText:
    return StoredText((vectors,), False, random.Random(number).randbytes(10 * vectors))


def fill(store: TokenStore, numbers, vectors: int = 3, shelf: Shelf = SHELF) -> list[bytes]:
    keys = shelf.keys(f"text {number}" for number in numbers)
    store.put(shelf, {k: text_of(n, vectors) for k, n in zip(keys, numbers, strict=True)})
    return keys


@pytest.fixture(params=[0, 1 << 20], ids=["from disk", "from memory"])
def store(request, tmp_path):
    return TokenStore(tmp_path / "store", memory_bytes=request.param)


@pytest.fixture
def hour(monkeypatch):
    """Sets what hour it is."""
    now = [1000]
    monkeypatch.setattr(token_store, "_now", lambda: now[0])
    return lambda value: now.__setitem__(0, value)


def hours(store: TokenStore) -> dict[bytes, int]:
    with sqlite3.connect(store.path / FILE) as connection:
        return dict(connection.execute("SELECT key, used FROM entries"))


# --- entries ---


def test_entries_come_back_in_the_order_of_the_keys(store):
    keys = fill(store, range(5))
    nobody = SHELF.keys(["never stored"])[0]
    asked = [keys[3], nobody, keys[0], keys[3]]
    assert store.get(SHELF, asked) == [text_of(3), None, text_of(0), text_of(3)]
    assert store.missing(asked) == {nobody}
    assert store.get(SHELF, []) == []
    store.put(SHELF, {})


def test_entries_outlive_the_store(store):
    keys = fill(store, range(5))
    store.close()
    assert store.get(SHELF, keys) == [text_of(n) for n in range(5)]
    again = TokenStore(store.path)
    assert again.get(SHELF, keys) == [text_of(n) for n in range(5)]


def test_more_keys_than_one_question_can_hold(store):
    keys = fill(store, range(700), vectors=1)
    assert store.missing([*keys, b"x" * 16]) == {b"x" * 16}
    assert store.get(SHELF, keys) == [text_of(n, 1) for n in range(700)]


def test_a_key_is_made_of_the_text_and_of_all_that_its_vectors_depend_on():
    texts = ["a", "b", "", "a ", "\ud800"]
    shelves = [
        SHELF,
        Shelf(b"g" * 32, "a model", "int8", 10),
        Shelf(b"f" * 32, "a model", "float16", 10),
        Shelf(b"f" * 32, "a model", "int8", 10, codec=b"learned"),
    ]
    keys = {key for shelf in shelves for key in shelf.keys(texts)}
    assert len(keys) == len(texts) * len(shelves)
    assert Shelf(b"f" * 32, "another name", "int8", 10).keys(texts) == SHELF.keys(texts)


def test_threads_share_a_store(store):
    wrong = []

    def work(thread: int) -> None:
        for number in range(40):
            keys = fill(store, [thread * 100 + number, number])
            found = store.get(SHELF, keys)
            if found != [text_of(thread * 100 + number), text_of(number)]:
                wrong.append((thread, number))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert not wrong
    assert store.info().entries == len({t * 100 + n for t in range(8) for n in range(40)})


def _child(path: str, keys: list[bytes], answer) -> None:
    store = TokenStore(path)
    right = store.get(SHELF, keys) == [text_of(n) for n in range(3)]
    fill(store, [77])
    answer.put(right)


@pytest.mark.parametrize("method", ["spawn", "fork"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_another_process_reads_and_writes(store, method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip("the system has no fork")
    keys = fill(store, range(3))
    context = multiprocessing.get_context(method)
    answer = context.Queue()
    process = context.Process(target=_child, args=(str(store.path), keys, answer))
    process.start()
    assert answer.get(timeout=60)
    process.join(30)
    assert store.get(SHELF, SHELF.keys(["text 77"])) == [text_of(77)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_uses_the_store_of_its_parent(store):
    keys = fill(store, range(3))
    store._opening.acquire()  # as another thread might at this moment
    child = os.fork()
    if child == 0:
        right = False
        try:
            right = store.get(SHELF, keys) == [text_of(n) for n in range(3)]
            fill(store, [5])
            store.close()
        finally:
            os._exit(0 if right else 1)
    store._opening.release()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert store.get(SHELF, [*keys, *SHELF.keys(["text 5"])])[-1] == text_of(5)


# --- damage ---


def change(store: TokenStore, statement: str, *values: object) -> None:
    store.close()
    with sqlite3.connect(store.path / FILE) as connection:
        connection.execute(statement, values)


def test_a_damaged_entry_is_as_if_it_were_not_there_and_can_be_written_again(store, caplog):
    keys = fill(store, range(3))
    change(
        store,
        "UPDATE entries SET data = substr(data, 1, 20) || x'00ff' || substr(data, 23) "
        "WHERE key = ?",
        keys[1],
    )
    assert store.get(SHELF, keys) == [text_of(0), None, text_of(2)]
    assert "1 damaged entries" in caplog.text
    fill(store, [1])
    store.close()
    assert store.get(SHELF, keys) == [text_of(n) for n in range(3)]


def test_entries_that_changed_places_are_not_taken_for_each_other(store):
    keys = fill(store, range(2))
    change(
        store,
        "UPDATE entries SET data = (SELECT data FROM entries WHERE key = ?) WHERE key = ?",
        keys[0],
        keys[1],
    )
    assert store.get(SHELF, keys) == [text_of(0), None]


def test_verify_removes_what_is_damaged(store):
    keys = fill(store, range(300), vectors=1)
    change(store, "UPDATE entries SET data = x'00' WHERE key IN (?, ?)", keys[4], keys[299])
    found = store.verify()
    assert (found.entries, found.damaged) == (300, 2)
    assert store.missing(keys) == {keys[4], keys[299]}
    assert (store.verify().entries, store.verify().damaged) == (298, 0)


def test_a_file_is_no_store(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StoreError, match=r"file is a file: a token store is a folder"):
        TokenStore(tmp_path / "file").info()


@pytest.mark.parametrize(
    "content", [b"not a database, but a text " * 100, b"SQLite format 3\0junk"]
)
def test_a_foreign_file_is_refused_and_left_alone(tmp_path, content):
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(StoreError, match="damaged, or is not a token store"):
        TokenStore(tmp_path).info()
    assert (tmp_path / FILE).read_bytes() == content


def test_a_database_of_another_program_is_refused_and_left_alone(tmp_path):
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.execute("CREATE TABLE mine (value)")
    before = (tmp_path / FILE).read_bytes()
    with pytest.raises(StoreError, match="database of another program"):
        TokenStore(tmp_path).info()
    assert (tmp_path / FILE).read_bytes() == before


def test_another_version_is_refused(store):
    fill(store, [1])
    change(store, "PRAGMA user_version = 7")
    with pytest.raises(StoreError, match="store of version 7, and this is version 1"):
        TokenStore(store.path).info()


@pytest.mark.parametrize("kept", [0.3, 0.9])
def test_a_file_that_lost_its_end_gives_an_error_and_never_a_wrong_entry(tmp_path, kept):
    store = TokenStore(tmp_path / "store", memory_bytes=0)
    keys = fill(store, range(200), vectors=300)
    change(store, "PRAGMA wal_checkpoint(TRUNCATE)")
    file = tmp_path / "store" / FILE
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(StoreError, match="damaged"):
        TokenStore(tmp_path / "store", memory_bytes=0).verify()

    def read(key: bytes) -> object:
        try:
            return TokenStore(tmp_path / "store", memory_bytes=0).get(SHELF, [key])[0]
        except StoreError as error:
            return str(error)

    found = [read(key) for key in keys]
    assert any("Delete the folder" in str(one) for one in found)
    for number, one in enumerate(found):
        assert one in (None, text_of(number, 300)) or "Delete the folder" in one


def test_random_damage_gives_an_error_or_nothing_but_never_a_wrong_entry(tmp_path):
    store = TokenStore(tmp_path / "store", memory_bytes=0)
    keys = fill(store, range(60), vectors=100)
    change(store, "PRAGMA wal_checkpoint(TRUNCATE)")
    file = tmp_path / "store" / FILE
    whole = file.read_bytes()
    expected = [text_of(n, 100) for n in range(60)]
    outcomes = set()
    for seed in range(40):
        chance = random.Random(seed)
        content = bytearray(whole)
        for _ in range(30):
            content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        file.write_bytes(content)
        try:
            found = TokenStore(tmp_path / "store", memory_bytes=0).get(SHELF, keys)
        except StoreError:
            outcomes.add("error")
            continue
        outcomes.add("nothing" if None in found else "all")
        assert all(one in (None, right) for one, right in zip(found, expected, strict=True))
    assert outcomes >= {"error", "nothing"}


def test_what_cannot_be_written_is_an_error(store, monkeypatch):
    keys = fill(store, [1])
    store.close()

    def full(*_):
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(token_store, "_model_id", full)
    with pytest.raises(StoreError, match="cannot be used: database or disk is full"):
        fill(store, [2])
    monkeypatch.undo()
    assert store.get(SHELF, keys) == [text_of(1)]
    fill(store, [2])


# --- age and room ---


def test_use_is_noted_once_an_hour(store, hour):
    keys = fill(store, range(3))
    hour(1001)
    store.get(SHELF, keys[:2])
    assert [hours(store)[key] for key in keys] == [1001, 1001, 1000]
    hour(1002)
    store.get(SHELF, [keys[1]])
    assert [hours(store)[key] for key in keys] == [1001, 1002, 1000]


def test_a_writer_does_not_hold_up_a_reader(store, hour):
    keys = fill(store, range(2))
    hour(1001)
    with store.open().writing():
        done = []
        reader = threading.Thread(target=lambda: done.append(store.get(SHELF, keys)))
        reader.start()
        reader.join(20)
        assert done == [[text_of(0), text_of(1)]]
    assert set(hours(store).values()) == {1000}, "not worth waiting for"


def test_a_full_store_lets_go_what_has_not_been_used_for_longest(tmp_path, hour):
    bound = 2 << 20
    store = TokenStore(tmp_path / "store", max_bytes=bound, memory_bytes=0)
    keys = []
    for number in range(150):
        hour(1000 + number)
        keys += fill(store, [number], vectors=2000)  # 20 KB
        if number % 10 == 0:
            store.get(SHELF, keys[:3])  # these stay in use
    kept = [number for number, key in enumerate(keys) if key not in store.missing([key])]
    assert kept[:3] == [0, 1, 2]
    assert kept[3:] == list(range(kept[3], 150))
    assert 75 < len(kept) < 100
    store.open().vacuum()
    assert (store.path / FILE).stat().st_size <= bound
    found = store.get(SHELF, [keys[n] for n in kept])
    assert found == [text_of(n, 2000) for n in kept]


def test_what_is_larger_than_the_store_is_refused(tmp_path):
    store = TokenStore(tmp_path / "store", max_bytes=1 << 20)
    keys = fill(store, [1])
    with pytest.raises(StoreError, match="do not fit into a token store of max_bytes=1048576"):
        fill(store, [2], vectors=120_000)
    assert store.get(SHELF, keys) == [text_of(1)]


def test_prune_by_age_size_and_model(store, hour):
    other = Shelf(b"abc" + b"g" * 29, "other", "int8", 10)
    old = fill(store, range(3), vectors=1000)
    hour(1000 + 48)
    fill(store, range(3, 6), vectors=1000)
    fill(store, range(2), shelf=other)
    hour(1000 + 60)
    assert store.prune(unused_days=2).entries == 3
    assert store.missing(old) == set(old)
    assert store.prune(model="other").entries == 2
    assert [model.name for model in store.info().models] == ["a model"]
    size = store.info().size
    pruned = store.prune(max_bytes=0)
    assert pruned.entries == 3
    assert store.info().size == size - pruned.freed < size
    assert store.info().entries == 0
    fill(store, range(2), shelf=other)
    assert store.prune(model=other.fingerprint.hex()[:8]).entries == 2
    with pytest.raises(ValueError, match=r"nothing of a model 'nobody'; it holds a model"):
        store.prune(model="nobody")


def test_info_counts_by_model(store):
    fill(store, range(4), vectors=5)
    fill(store, [9], vectors=2, shelf=Shelf(b"g" * 32, "other", "float16", 10))
    info = store.info()
    assert [(m.name, m.compression, m.entries, m.vectors) for m in info.models] == [
        ("a model", "int8", 4, 20),
        ("other", "float16", 1, 2),
    ]
    # 8 bytes of checksum, 6 of head, 4 for a passage, 50 of vectors.
    assert info.models[0].size == 4 * 68
    assert info.models[0].bytes_per_vector == pytest.approx(13.6)
    assert (info.entries, info.vectors) == (5, 22)
    assert 0 < info.used <= info.size


# --- the handle ---


def test_a_store_is_its_settings(tmp_path):
    store = TokenStore(tmp_path, compression="float16", max_bytes=10**9, memory_bytes=5)
    again = pickle.loads(pickle.dumps(store))
    assert again == store
    assert hash(again) == hash(store)
    assert again != TokenStore(tmp_path)
    assert (again.compression, again.max_bytes, again.memory_bytes) == ("float16", 10**9, 5)
    assert TokenStore(str(tmp_path)) == TokenStore(tmp_path)
    assert repr(store) == f"TokenStore({str(tmp_path)!r}, compression='float16')"


def test_nothing_is_made_before_it_is_needed(tmp_path):
    store = TokenStore(tmp_path / "a" / "b")
    assert not (tmp_path / "a").exists()
    fill(store, [1])
    assert sorted(path.name for path in (tmp_path / "a" / "b").iterdir())[0] == FILE


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"path": ""}, TypeError, "path of a folder, not ''"),
        ({"path": 3}, TypeError, "path of a folder, not 3"),
        ({"compression": "zip"}, ValueError, "one of float16, int8, .*, not 'zip'"),
        ({"max_bytes": 5}, ValueError, "max_bytes must be at least 1048576, not 5"),
        ({"max_bytes": 1e9}, TypeError, "max_bytes must be a number of bytes, not 1000000000.0"),
        ({"memory_bytes": -1}, ValueError, "memory_bytes must be at least 0, not -1"),
        ({"memory_bytes": True}, TypeError, "memory_bytes must be a number of bytes, not True"),
    ],
)
def test_bad_settings_are_refused(tmp_path, settings, error, message):
    with pytest.raises(error, match=message):
        TokenStore(**{"path": tmp_path, **settings})
