from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time

import pytest

from rag_rerankers.errors import PlaidIndexError
from rag_rerankers.plaid import folder as module
from rag_rerankers.plaid.folder import Folder, checksum, link


def write(folder: Folder, text: str) -> None:
    with folder.changing(), folder.next_generation() as target:
        (target / "file").write_text(text)


def read(folder: Folder) -> str:
    newest = folder.newest()
    assert newest is not None
    return (newest / "file").read_text()


def test_the_newest_generation_counts_and_older_ones_go(tmp_path):
    folder = Folder(tmp_path / "deep" / "index")
    assert folder.newest() is None
    for number in range(12):
        write(folder, str(number))
        assert read(folder) == str(number)
    assert len([entry for entry in folder.path.iterdir() if entry.is_dir()]) == 1


def test_no_name_comes_again(tmp_path):
    names = set()
    for number in range(5):
        folder = Folder(tmp_path / str(number))
        write(folder, "x")
        names.add(folder.newest().name)
    assert len(names) == 5


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_leaves_the_old_generation(tmp_path, error):
    folder = Folder(tmp_path)
    write(folder, "old")

    def fail():
        with folder.changing(), folder.next_generation() as target:
            (target / "file").write_text("new")
            raise error

    with pytest.raises(error):
        fail()
    assert read(folder) == "old"
    assert sorted(entry.name for entry in tmp_path.iterdir())[-1] == "lock"
    assert not (tmp_path / ".writing").exists()


KILLED = """
import os, signal, sys
from rag_rerankers.plaid import folder as module
def stop(*_): os.kill(os.getpid(), signal.SIGKILL)
def rename_and_stop(a, b): a.rename(b); stop()
folder = module.Folder(sys.argv[1])
with folder.changing(), folder.next_generation() as target:
    (target / "file").write_text("new")
    if sys.argv[2] == "writing": stop()
    if sys.argv[2] == "before": module._publish = stop
    if sys.argv[2] == "after": module._publish = rename_and_stop
"""


@pytest.mark.skipif(sys.platform == "win32", reason="kills by signal")
@pytest.mark.parametrize(
    ("moment", "expected"), [("writing", "old"), ("before", "old"), ("after", "new")]
)
def test_a_killed_process_leaves_the_old_or_the_new_and_no_lock(tmp_path, moment, expected):
    folder = Folder(tmp_path)
    write(folder, "old")
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), moment], timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert read(folder) == expected
    write(folder, "next")
    assert read(folder) == "next"
    assert len([entry for entry in tmp_path.iterdir() if entry.is_dir()]) == 1


def test_changes_wait_for_each_other(tmp_path):
    folder, other = Folder(tmp_path), Folder(tmp_path)
    order = []

    def second():
        with other.changing():
            order.append("second")

    thread = threading.Thread(target=second)
    with folder.changing():
        thread.start()
        time.sleep(0.1)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]


def test_another_folder_is_refused_with_what_is_in_the_way(tmp_path):
    (tmp_path / "report.docx").touch()
    with pytest.raises(PlaidIndexError, match=r"not a PLAID index.*'report\.docx'.*of its own"):
        Folder(tmp_path).newest()
    with pytest.raises(PlaidIndexError, match="is a file"):
        Folder(tmp_path / "report.docx").newest()


def test_hidden_files_of_file_managers_are_let_be(tmp_path):
    write(Folder(tmp_path), "x")
    (tmp_path / ".DS_Store").touch()
    assert read(Folder(tmp_path)) == "x"


def test_files_are_linked_or_copied(tmp_path, monkeypatch):
    source = tmp_path / "source"
    source.write_bytes(b"x" * 3_000_000)
    link(source, tmp_path / "linked")
    assert (tmp_path / "linked").samefile(source)

    def refuse(*_):
        raise OSError("no links here")

    monkeypatch.setattr(module.os, "link", refuse)
    link(source, tmp_path / "copied")
    assert not (tmp_path / "copied").samefile(source)
    assert checksum(tmp_path / "copied") == checksum(source) == (3_000_000, checksum(source)[1])
    source.write_bytes(b"x" * 2_999_999 + b"y")
    assert checksum(tmp_path / "copied") != checksum(source)
