"""colbert-ai's own Searcher, with its own model and query encoding, over an index of ours."""

from __future__ import annotations

import pytest
import torch
from tests.oracles import colbert_ai as oracle
from tests.plaid.passages import passages

from rag_rerankers import Reranker
from rag_rerankers.plaid import PlaidIndex, colbert_ai
from rag_rerankers.plaid.files import inverted_lists
from rag_rerankers.scorers.maxsim import maxsim

pytestmark = pytest.mark.usefixtures("colbert")

TEXTS = passages(150, seed=3)
QUERIES = passages(6, seed=4)


class Searcher:
    """What ``colbert.Searcher`` does in ``dense_search``, with its C++ in plain Python.

    The class itself would compile; ``tests/plaid/test_plaid_kernels.py`` compares our functions
    with the compiled ones.
    """

    def __init__(self, generation, checkpoint_folder):
        self.parts = colbert_ai.load()
        self.checkpoint = oracle.checkpoint(checkpoint_folder)
        scorer = self.parts.index_scorer
        strided = self.parts.strided_tensor
        # Instead of compiling: the constructors find these.
        strided.loaded_extensions = scorer.loaded_extensions = True
        self.ranker = scorer(str(generation), use_gpu=False)
        self.config = self.parts.config.load_from_index(str(generation))

    def scores(self, query):
        """Every passage by its decompressed vectors, through colbert-ai's own codec."""
        asked = self.checkpoint.queryFromText([query])[0]
        n = int(self.ranker.doclens.sum())
        compressed = self.parts.residual_codec.Embeddings(
            self.ranker.embeddings.codes[:n], self.ranker.embeddings.residuals[:n]
        )
        vectors = self.ranker.codec.decompress(compressed)
        return maxsim(asked, vectors, self.ranker.doclens.tolist()).tolist()


@pytest.fixture(scope="module")
def folder(make):
    return make("stanford_colbert")


@pytest.fixture(scope="module")
def built(folder, tmp_path_factory):
    model = Reranker(folder, device="cpu", dtype="float32")
    ids = [str(number) for number in range(len(TEXTS))]
    return PlaidIndex.build(tmp_path_factory.mktemp("plaid") / "index", ids, TEXTS, model)


def test_colbert_ai_reads_the_index_and_scores_alike(built, folder, capsys):
    theirs = Searcher(built._generation.folder, folder)
    for query in QUERIES:
        expected = theirs.scores(query)
        found = built.search(query, len(TEXTS), exact=False)
        assert len(found) == len(TEXTS)
        for hit in found:
            assert hit.score == pytest.approx(expected[int(hit.id)], abs=1e-4)


def test_colbert_ai_reads_an_index_that_was_changed(built, folder, tmp_path, capsys):
    index = PlaidIndex.build(tmp_path / "index", ["x"], ["panda"], built.reranker)
    index.add(built.ids, TEXTS)
    index.add(["y"], ["bear"])
    theirs = Searcher(index._generation.folder, folder)
    expected = dict(zip(index.ids, theirs.scores(QUERIES[0]), strict=True))
    for hit in index.search(QUERIES[0], 500, exact=False):
        assert hit.score == pytest.approx(expected[hit.id], abs=1e-4)


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
