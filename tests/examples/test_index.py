from __future__ import annotations

import io
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from ragdemo.index import (
    CHROMA_SETTINGS,
    Changes,
    IndexFolderError,
    batches,
    changes,
    chroma_folder,
    exclusive,
    metadata,
    open_chroma,
)
from ragdemo.passages import Passage

ONE = Passage("one", "T", "T\n\nfirst", "a.md")
TWO = Passage("two", "T", "T\n\nsecond", "a.md")
THREE = Passage("three", "T", "T\n\nthird", "b.md")


def stored(*passages: Passage) -> dict[str, dict[str, str]]:
    return {passage.id: metadata(passage) for passage in passages}


def test_everything_is_new_in_an_empty_store() -> None:
    assert changes({}, [ONE, TWO]) == Changes((ONE, TWO), (), 0)


def test_nothing_to_do() -> None:
    assert changes(stored(TWO, ONE), [ONE, TWO]) == Changes((), (), 2)


@pytest.mark.parametrize(
    "changed",
    [
        Passage("two", "T", "T\n\nother", "a.md"),
        Passage("two", "U", "T\n\nsecond", "a.md"),
        Passage("two", "T", "T\n\nsecond", "moved.md"),
    ],
)
def test_a_change_of_text_title_or_source_replaces_the_entry(changed: Passage) -> None:
    assert changes(stored(ONE, TWO), [ONE, changed]) == Changes((changed,), ("two",), 1)


def test_no_two_passages_look_alike_because_their_fields_are_joined() -> None:
    shifted = Passage("two", "T\0a", ".md", "T\n\nsecond")

    assert changes(stored(TWO), [shifted]).new == (shifted,)


def test_what_is_gone_is_removed() -> None:
    assert changes(stored(ONE, TWO, THREE), [TWO]) == Changes((), ("one", "three"), 1)
    assert changes(stored(ONE), []) == Changes((), ("one",), 0)


def test_a_broken_off_run_goes_on_where_it_stopped() -> None:
    # Old version of one deleted, two not yet embedded, three done.
    assert changes(stored(THREE), [ONE, TWO, THREE]) == Changes((ONE, TWO), (), 1)


def test_an_entry_without_hash_is_made_again() -> None:
    assert changes({"one": None, "two": {"title": "T"}}, [ONE, TWO]) == Changes(
        (ONE, TWO), ("one", "two"), 0
    )


def test_metadata_is_what_the_demo_shows() -> None:
    entry = metadata(ONE)

    assert entry.pop("sha256") == (
        # printf 'T\0a.md\0T\n\nfirst' | sha256sum
        "77b7a6aa003b16e971e5eef94fb51968d4e86633e763ade8caeeda82f496d711"
    )
    assert entry == {"passage": "one", "title": "T", "source": "a.md"}


def test_half_a_surrogate_pair_has_a_hash() -> None:
    assert metadata(Passage("x", "\ud800", "", ""))["sha256"]


def test_changes_in_words() -> None:
    assert str(Changes((ONE,), ("x", "y"), 2)) == ("3 passages in Chroma: 1 to embed, 2 unchanged")


def test_batches_hold_all_passages_in_order() -> None:
    screen = Console(file=io.StringIO(), width=80)

    assert list(batches([ONE, TWO, THREE], screen, size=2)) == [[ONE, TWO], [THREE]]


def test_no_progress_bar_for_nothing() -> None:
    file = io.StringIO()

    assert list(batches([], Console(file=file, width=80))) == []
    assert file.getvalue() == ""


def test_chroma_keeps_what_it_is_given_and_measures_cosine(tmp_path: Path) -> None:
    with chroma_folder(tmp_path / "a" / "chroma"):
        collection = open_chroma(tmp_path / "a" / "chroma").get_or_create_collection(
            "passages", metadata=CHROMA_SETTINGS
        )
        collection.add(ids=["x", "y"], embeddings=[[2.0, 0.0], [3.0, 4.0]])
        found = collection.query(query_embeddings=[[1.0, 0.0]], n_results=2)

    assert found["ids"] == [["x", "y"]]
    assert found["distances"] is not None
    assert found["distances"][0] == pytest.approx([0.0, 1 - 0.6], abs=1e-6)


def test_a_foreign_chroma_folder_is_explained(tmp_path: Path) -> None:
    (tmp_path / "chroma.sqlite3").write_bytes(b"certainly not a database\n" * 50)

    with pytest.raises(IndexFolderError) as caught, chroma_folder(tmp_path):
        open_chroma(tmp_path).list_collections()

    assert repr(str(tmp_path)) in str(caught.value)
    assert "remove that folder" in str(caught.value)


def test_a_file_in_the_place_of_the_folder_is_explained(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")

    with (
        pytest.raises(IndexFolderError, match=r"out.*--output"),
        chroma_folder(tmp_path / "out" / "chroma"),
    ):
        pass


def test_other_errors_pass_through(tmp_path: Path) -> None:
    with pytest.raises(KeyError), chroma_folder(tmp_path):
        raise KeyError


def test_one_process_at_a_time(tmp_path: Path) -> None:
    holder = (
        "import sys, time; from pathlib import Path; from rich.console import Console\n"
        "from ragdemo.index import exclusive\n"
        "with exclusive(Path(sys.argv[1]), Console()):\n"
        "    print('held', flush=True); sys.stdin.read(1); time.sleep(0.4)\n"
        "    Path(sys.argv[1], 'done').touch()\n"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", holder, str(tmp_path)],
        cwd=Path(__file__).parents[2] / "examples",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert other.stdin is not None
    assert other.stdout is not None
    with other:
        assert other.stdout.readline() == b"held\n"
        started = time.monotonic()
        other.stdin.write(b"x")
        other.stdin.close()
        with exclusive(tmp_path, Console(file=io.StringIO())):
            assert (tmp_path / "done").exists()
    assert other.returncode == 0
    assert time.monotonic() - started < 20


def test_the_right_to_change_is_given_back_after_an_error(tmp_path: Path) -> None:
    screen = Console(file=io.StringIO())
    with pytest.raises(KeyError), exclusive(tmp_path, screen):
        raise KeyError
    with exclusive(tmp_path, screen):
        pass
