"""colbert-ai's own Searcher, with its own model and query encoding, over an index of ours."""

from __future__ import annotations

import pytest
import torch
from tests.oracles import colbert_ai as oracle
from tests.plaid.compiled import compiled
from tests.plaid.needs import needs_colbert
from tests.plaid.passages import passages

from rag_rerankers import Reranker
from rag_rerankers.plaid import PlaidIndex, colbert_ai
from rag_rerankers.plaid.files import inverted_lists
from rag_rerankers.scorers.maxsim import maxsim

needs_colbert()
# Of its own calls, which torch and Python would have otherwise.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore:.*CUDA is not available.*")

TEXTS = passages(150, seed=3)
QUERIES = passages(6, seed=4)


class Everything:
    """Scores all passages of an index with colbert-ai's own loader, codec and query encoding."""

    def __init__(self, generation, checkpoint_folder, monkeypatch):
        parts = colbert_ai.load()
        self.checkpoint = oracle.checkpoint(checkpoint_folder)
        # Instead of compiling: no compiled function is called here.
        for owner in (parts.index_scorer, parts.strided_tensor):
            monkeypatch.setattr(owner, "loaded_extensions", True, raising=False)
        self.ranker = parts.index_scorer(str(generation), use_gpu=False)
        n = int(self.ranker.doclens.sum())
        compressed = parts.residual_codec.Embeddings(
            self.ranker.embeddings.codes[:n], self.ranker.embeddings.residuals[:n]
        )
        self.vectors = self.ranker.codec.decompress(compressed)

    def scores(self, query):
        asked = self.checkpoint.queryFromText([query])[0]
        return maxsim(asked, self.vectors, self.ranker.doclens.tolist()).tolist()


@pytest.fixture(scope="module")
def folder(make):
    return make("stanford_colbert")


@pytest.fixture(scope="module")
def built(folder, tmp_path_factory):
    model = Reranker(folder, device="cpu", dtype="float32")
    ids = [str(number) for number in range(len(TEXTS))]
    return PlaidIndex.build(tmp_path_factory.mktemp("plaid") / "index", ids, TEXTS, model)


def test_colbert_ai_reads_the_index_and_scores_alike(built, folder, monkeypatch):
    theirs = Everything(built._generation.folder, folder, monkeypatch)
    for query in QUERIES:
        expected = theirs.scores(query)
        found = built.search(query, len(TEXTS), exact=False)
        assert len(found) == len(TEXTS)
        for hit in found:
            assert hit.score == pytest.approx(expected[int(hit.id)], abs=1e-4)


def test_colbert_ai_reads_an_index_that_was_changed(built, folder, tmp_path, monkeypatch):
    index = PlaidIndex.build(tmp_path / "index", ["x"], ["panda"], built.reranker)
    index.add(built.ids, TEXTS)
    index.add(["y"], ["bear"])
    theirs = Everything(index._generation.folder, folder, monkeypatch)
    expected = dict(zip(index.ids, theirs.scores(QUERIES[0]), strict=True))
    for hit in index.search(QUERIES[0], 500, exact=False):
        assert hit.score == pytest.approx(expected[hit.id], abs=1e-4)


@pytest.mark.parametrize("k", [5, 10, 40, 120])
def test_its_searcher_finds_the_same(built, folder, monkeypatch, k):
    """``colbert.Searcher`` itself, compiled code and all; a new one each time: settings stick."""
    parts = colbert_ai.load()
    import colbert
    from colbert.modeling.colbert import ColBERT

    oracle.checkpoint(folder)  # repairs its model class for transformers 5
    for owner, name in (
        (parts.index_scorer, "filter_pids"),
        (parts.index_scorer, "decompress_residuals"),
        (parts.strided_tensor, "segmented_lookup"),
        (ColBERT, "segmented_maxsim"),
    ):
        monkeypatch.setattr(owner, name, compiled(f"{name}_cpp"), raising=False)
        monkeypatch.setattr(owner, "loaded_extensions", True, raising=False)
    generation = built._generation.folder
    searcher = colbert.Searcher(
        index=generation.name,
        index_root=str(generation.parent),
        checkpoint=str(folder),
        collection=TEXTS,
        verbose=0,
    )
    for query in QUERIES:
        pids, _, scores = searcher.search(query, k=k)
        ours = built.search(query, k, exact=False)
        assert pids
        if len(pids) == k:  # else it visited too few cells; ours goes on looking
            assert [int(hit.id) for hit in ours] == pids
        known = {int(hit.id): hit.score for hit in built.search(query, len(TEXTS), exact=False)}
        assert scores == pytest.approx([known[pid] for pid in pids], abs=1e-4)


def test_inverted_lists_are_those_of_colbert_ai(built, tmp_path, capsys):
    from colbert.indexing.utils import optimize_ivf

    chunk = built._generation.chunk
    n_centroids = built._generation.record.n_centroids
    order = chunk.codes.long().sort()
    sizes = torch.bincount(order.values, minlength=n_centroids)
    (tmp_path / "doclens.0.json").write_text(str(chunk.lengths))
    passages, lengths = optimize_ivf(order.indices, sizes, str(tmp_path), verbose=0)
    ours, our_lengths = inverted_lists(chunk.codes, chunk.lengths, n_centroids)
    assert our_lengths.tolist() == lengths.tolist()
    assert ours.tolist() == passages[: int(lengths.sum())].tolist()


def test_their_codec_compresses_alike(built):
    chunk = built._generation.chunk
    vectors = torch.cat([built._model.documents([text]).vectors for text in TEXTS[:20]])
    made = built._generation.searching.codec.compress(vectors)
    assert torch.equal(made.codes, chunk.codes[: len(vectors)])
    assert torch.equal(made.residuals, chunk.residuals[: len(vectors)])
