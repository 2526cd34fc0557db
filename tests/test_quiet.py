from __future__ import annotations

import subprocess
import sys

import pytest

CODE = (
    "import logging, sys\n"
    "logging.basicConfig(level=logging.WARNING)\n"
    "from rag_rerankers import ModelOptions, load_scorer\n"
    "load_scorer(sys.argv[1], ModelOptions(device='cpu', dtype='float32'))\n"
)


@pytest.mark.parametrize("maker", ["xlmr_reranker", "stanford_colbert", "deberta_reranker"])
def test_loading_a_good_model_says_nothing(make, maker):
    """No table of weights, no remark about attention; transformers' progress bar may stay."""
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(make(maker))],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    lines = (done.stdout + done.stderr).replace("\r", "\n").splitlines()
    assert [line for line in lines if line and not line.startswith("Loading weights:")] == []
