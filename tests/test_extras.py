from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from rag_rerankers.errors import MissingExtraError
from rag_rerankers.extras import needed


def test_a_library_that_is_there_is_imported() -> None:
    assert needed("json", "the report") is json
    assert needed("json.decoder", "the report") is json.decoder


@pytest.mark.parametrize("module", ["absent_library_of_tests", "absent_library_of_tests.part"])
def test_a_missing_library_is_told_with_the_command_that_installs_it(module: str) -> None:
    with pytest.raises(MissingExtraError) as caught:
        needed(module, "the HTML report")
    assert caught.value.feature == "the HTML report"
    assert caught.value.extra == "eval"
    assert 'pip install "rag-rerankers[eval]"' in str(caught.value)


def test_another_extra_can_be_named() -> None:
    with pytest.raises(MissingExtraError, match=r"rag-rerankers\[datasets\]"):
        needed("absent_library_of_tests", "data", "datasets")


def test_what_a_library_itself_lacks_is_not_taken_for_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "half_there.py").write_text("import absent_library_of_tests\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "half_there", raising=False)
    with pytest.raises(ModuleNotFoundError, match="absent_library_of_tests") as caught:
        needed("half_there", "the report")
    assert not isinstance(caught.value, MissingExtraError)
