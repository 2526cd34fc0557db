from __future__ import annotations

import subprocess
import sys

CODE = (
    "import logging, sys\n"
    "logging.basicConfig(level=logging.WARNING)\n"
    "from rag_rerankers import ModelOptions, load_scorer\n"
    "for folder in sys.argv[1:]:\n"
    "    load_scorer(folder, ModelOptions(device='cpu', dtype='float32'))\n"
)


def test_loading_good_models_says_nothing(make):
    """No table of weights, no remark about attention; transformers' progress bar may stay."""
    folders = [make(name) for name in ("xlmr_reranker", "stanford_colbert", "deberta_reranker")]
    done = subprocess.run(
        [sys.executable, "-c", CODE, *map(str, folders)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    lines = (done.stdout + done.stderr).replace("\r", "\n").splitlines()
    assert [line for line in lines if line and not line.startswith("Loading weights:")] == []
