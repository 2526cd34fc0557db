from __future__ import annotations

import inspect
import subprocess
import sys
from importlib.metadata import version

import pytest

import rag_rerankers
from rag_rerankers.plaid import PlaidIndex, ashared_index, shared_index

NAMES = [
    "ALIASES",
    "AsyncScorer",
    "CalibratedScorer",
    "CalibratedScores",
    "CascadeScorer",
    "Checkpoint",
    "CircuitOpenError",
    "DataError",
    "Explanation",
    "MissingExtraError",
    "ModelLoadError",
    "ModelOptions",
    "OutOfMemoryError",
    "PlaidIndexError",
    "RankedDocument",
    "RemoteError",
    "RemoteScorer",
    "RemoteTimeoutError",
    "RerankError",
    "RerankSkippedWarning",
    "Reranker",
    "ScoreError",
    "Scorer",
    "StoreError",
    "StoreInfo",
    "TokenMatch",
    "TokenStore",
    "TruncationWarning",
    "UnsafeWeightsError",
    "Warmed",
    "__version__",
    "ashared_reranker",
    "check_cancelled",
    "clear_shared_rerankers",
    "load_scorer",
    "shared_reranker",
]
OPTIONS = (
    "*, device='auto', dtype='auto', max_length=None, revision=None, long_documents='truncate', "
    "batch_tokens=None, local_files_only=False, store=None, on_failure='raise', api_key=None, "
    "timeout=None"
)


def parameters(function) -> str:
    """Names, kinds and defaults; annotations left out."""
    signature = inspect.signature(function)
    bare = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for name, parameter in signature.parameters.items()
        if name != "self"
    ]
    return str(inspect.Signature(bare))


def test_the_public_names_are_pinned_and_sorted():
    assert rag_rerankers.__all__ == NAMES == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_exists_and_is_documented(name):
    value = getattr(rag_rerankers, name)
    if name not in {"ALIASES", "__version__"}:
        assert inspect.getdoc(value)
        assert value.__module__.startswith("rag_rerankers.")


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (rag_rerankers.Reranker.__init__, f"(model='minilm-maxsim', {OPTIONS})"),
        (rag_rerankers.Reranker.rank, "(query, texts, *, top_n=None, threshold=None)"),
        (rag_rerankers.Reranker.arank, "(query, texts, *, top_n=None, threshold=None)"),
        (rag_rerankers.Reranker.warm, "(texts, *, tell=None)"),
        (
            rag_rerankers.TokenStore.__init__,
            "(path, *, compression='int8', max_bytes=None, memory_bytes=67108864)",
        ),
        (rag_rerankers.Reranker.explain, "(query, text)"),
        (rag_rerankers.Reranker.cascade, "(models, *, keep=15, **options)"),
        (rag_rerankers.CascadeScorer.__init__, "(stages, keep=15)"),
        (rag_rerankers.CascadeScorer.score, "(query, texts)"),
        (rag_rerankers.CascadeScorer.relevance, "(query, scores)"),
        (rag_rerankers.ModelOptions.__init__, f"({OPTIONS.removeprefix('*, ')})"),
        (rag_rerankers.Scorer.score, "(query, texts)"),
        (rag_rerankers.AsyncScorer.ascore, "(query, texts)"),
        (rag_rerankers.CalibratedScores.__init__, "(scores, relevance)"),
        (
            rag_rerankers.RemoteScorer.__init__,
            "(url, *, model=None, api_key=None, dialect='auto', timeout=None, max_texts=None, "
            "parallel=4, retries=3, backoff=0.25, breaker_failures=5, breaker_seconds=10.0, "
            "transport=None)",
        ),
        (rag_rerankers.RemoteScorer.score, "(query, texts)"),
        (rag_rerankers.RemoteScorer.ascore, "(query, texts)"),
        (rag_rerankers.RemoteScorer.relevance, "(query, scores)"),
        (rag_rerankers.CalibratedScorer.relevance, "(query, scores)"),
        (rag_rerankers.RankedDocument.__init__, "(index, text, score, relevance)"),
        (
            rag_rerankers.Explanation.__init__,
            "(query, text, score, relevance, mean, matches, tokens, similarities)",
        ),
        (rag_rerankers.Explanation.to_html, "()"),
        (rag_rerankers.Explanation.to_text, "(width=80)"),
        (rag_rerankers.TokenMatch.__init__, "(token, matched, index, similarity)"),
        (rag_rerankers.load_scorer, "(name, options=None)"),
        (rag_rerankers.shared_reranker, "(model, options=None)"),
        (rag_rerankers.ashared_reranker, "(model, options=None)"),
        (rag_rerankers.clear_shared_rerankers, "()"),
        (rag_rerankers.check_cancelled, "()"),
        (
            PlaidIndex.build,
            "(path, ids, texts, model='colbertv2', *, metadatas=None, nbits=2, overwrite=False, "
            "show_progress=False, **options)",
        ),
        (PlaidIndex.open, "(path, model=None, **options)"),
        (PlaidIndex.search, "(query, k=10, *, exact=True)"),
        (PlaidIndex.asearch, "(query, k=10, *, exact=True)"),
        (PlaidIndex.add, "(ids, texts, metadatas=None)"),
        (PlaidIndex.delete, "(ids)"),
        (PlaidIndex.compact, "()"),
        (PlaidIndex.refresh, "()"),
        (shared_index, "(path)"),
        (ashared_index, "(path)"),
    ],
    ids=lambda value: getattr(value, "__qualname__", ""),
)
def test_parameter_names_and_defaults_are_pinned(function, expected):
    assert parameters(function) == expected


def test_the_version_is_that_of_the_distribution():
    assert rag_rerankers.__version__ == version("rag-rerankers")


HEAVY = ("torch", "transformers", "tokenizers", "huggingface_hub", "numpy", "langchain_core",
         "llama_index", "typer", "httpx")  # fmt: skip


def loaded_by(code: str) -> set[str]:
    """Which heavy packages a fresh process has imported after the code."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules)"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return set(done.stdout.split()) & set(HEAVY)


@pytest.mark.parametrize(
    "code",
    [
        "import rag_rerankers",
        "import rag_rerankers.plaid",
        "from rag_rerankers import *",
        "import rag_rerankers as r; r.ModelOptions(dtype='bfloat16'); r.ALIASES['colbertv2']",
        (
            "import rag_rerankers as r\n"
            "class S:\n"
            "    def score(self, query, texts): return [1.0] * len(texts)\n"
            "assert len(r.Reranker(S()).rank('q', ['a', 'b'])) == 2"
        ),
        (
            "from rag_rerankers.explanation import *\n"
            "token = Token('a', 'text', (0, 1))\n"
            "match = TokenMatch(token, token, 0, .5)\n"
            "assert '<mark' in Explanation('a', 'a', .5, .5, False, (match,), (token,), ((.5,),))"
            ".to_html()"
        ),
    ],
    ids=["import", "plaid", "star", "options", "own scorer", "explanation"],
)
def test_nothing_heavy_is_imported_before_a_model_is(code):
    assert loaded_by(code) == set()


def test_a_server_needs_httpx_and_no_torch():
    code = "import rag_rerankers as r; r.Reranker('http://h:8080')"
    assert loaded_by(code) == {"httpx"}


def test_the_package_is_typed():
    from importlib.resources import files

    assert files("rag_rerankers").joinpath("py.typed").is_file()
