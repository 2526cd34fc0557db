from __future__ import annotations

import subprocess
import sys

import pytest

from rag_rerankers.errors import MissingExtraError
from rag_rerankers.plaid import PlaidIndex, colbert_ai, shared_index


@pytest.fixture(params=["colbert", "faiss"])
def absent(request, monkeypatch):
    """A process without the extra: one of the two is missing."""
    monkeypatch.setattr(colbert_ai, "_loaded", None)
    if request.param == "colbert":
        monkeypatch.setitem(sys.modules, "faiss", sys)
    monkeypatch.setitem(sys.modules, request.param, None)


@pytest.mark.parametrize(
    "call",
    [
        lambda path: PlaidIndex.build(path, ["a"], ["x"]),
        lambda path: PlaidIndex.open(path),
        lambda path: shared_index(path),
    ],
    ids=["build", "open", "shared"],
)
def test_a_missing_extra_is_told_before_anything_is_done(absent, tmp_path, call):
    with pytest.raises(MissingExtraError, match=r'pip install "rag-rerankers\[plaid\]"') as caught:
        call(tmp_path / "index")
    assert caught.value.extra == colbert_ai.EXTRA == "plaid"
    assert not (tmp_path / "index").exists()


def test_what_colbert_ai_itself_lacks_is_not_taken_for_the_extra(tmp_path, monkeypatch):
    (tmp_path / "colbert").mkdir()
    (tmp_path / "colbert" / "__init__.py").write_text("import absent_library_of_tests\n")
    monkeypatch.setattr(colbert_ai, "_loaded", None)
    monkeypatch.setitem(sys.modules, "faiss", sys)
    for name in [name for name in sys.modules if name.partition(".")[0] == "colbert"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="absent_library_of_tests") as caught:
        colbert_ai.load()
    assert not isinstance(caught.value, MissingExtraError)


def test_importing_the_package_loads_nothing_heavy():
    code = "import rag_rerankers.plaid, sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert (
        set(done.stdout.split()) & {"torch", "transformers", "colbert", "faiss", "numpy"} == set()
    )


@pytest.mark.parametrize("failing", [False, True])
def test_the_import_leaves_no_trace(monkeypatch, failing):
    import multiprocessing
    import os

    before = (multiprocessing.get_start_method(allow_none=True), dict(os.environ))

    def importing():
        # What colbert-ai does.
        multiprocessing.set_start_method("spawn", force=True)
        os.environ["TOKENIZERS_PARALLELISM"] = "true"
        assert os.environ["GIT_PYTHON_REFRESH"] == "quiet"
        if failing:
            raise MissingExtraError("a test", "plaid")
        return "parts"

    monkeypatch.setattr(colbert_ai, "_loaded", None)
    monkeypatch.setattr(colbert_ai, "_import", importing)
    if failing:
        with pytest.raises(MissingExtraError):
            colbert_ai.load()
    else:
        assert colbert_ai.load() == colbert_ai.load() == "parts"
    assert (multiprocessing.get_start_method(allow_none=True), dict(os.environ)) == before
