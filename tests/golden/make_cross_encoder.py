"""Writes cross_encoder.json: scores by FlagEmbedding's own FlagReranker.

Run where FlagEmbedding 1.4.2 and transformers 4.57.6 are installed (with transformers 5 it decodes
and tokenizes again, which is not exact):

    HF_HUB_OFFLINE=1 python -m tests.golden.make_cross_encoder
"""

from __future__ import annotations

import json
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.golden.make_colbert import words

from tests import checkpoints

HERE = Path(__file__).parent

QUERIES = ["what is a giant panda?", "", "東京 search?", words(40, seed=11), words(700, seed=12)]
TEXTS = [
    "",
    "...!?",
    "panda",
    "The giant panda is a bear that lives in China and eats bamboo.",
    words(12, seed=13),
    words(90, seed=14),
    words(300, seed=15),
    words(900, seed=16),
    "naïve café Ångström ß λόγος привет \U0001f43c emoji\u200b and\ttabs\nlines",
    "  two  spaces,   東京は日本の中国語  ",
]
# Tokens of the models written out in a text: tokenizers read them as such.
SPECIAL_TEXTS = [
    "a </s> panda <mask> and <pad> bear <s> here",
    "a [SEP] panda [MASK] and [PAD] bear",
]
VARIANTS: dict[str, dict[str, Any]] = {
    "xlmr-512": {"maker": "xlmr_reranker", "settings": {}, "max_length": 512},
    "xlmr-64": {"maker": "xlmr_reranker", "settings": {"seed": 3}, "max_length": 64},
    "xlmr-1024": {
        "maker": "xlmr_reranker",
        "settings": {"max_position_embeddings": 1026},
        "max_length": 1024,
    },
    "bert-48": {"maker": "bert_reranker", "settings": {}, "max_length": 48},
    "roberta-64": {"maker": "roberta_reranker", "settings": {}, "max_length": 64},
}


def main() -> None:
    from FlagEmbedding import FlagReranker  # type: ignore[import-not-found, unused-ignore]

    cases = []
    for name, variant in VARIANTS.items():
        with tempfile.TemporaryDirectory() as made:
            maker = getattr(checkpoints, variant["maker"])
            folder = maker(Path(made) / "reranker", **variant["settings"])
            reranker = FlagReranker(
                str(folder), use_fp16=False, devices="cpu", max_length=variant["max_length"]
            )
            pairs = [(query, text) for query in QUERIES for text in (*TEXTS, *SPECIAL_TEXTS)]
            flat = reranker.compute_score(pairs, batch_size=len(pairs))
            digest = checkpoints.weights_sha256(folder)
        width, plain = len(TEXTS) + len(SPECIAL_TEXTS), len(TEXTS)
        rows = [flat[n : n + width] for n in range(0, len(flat), width)]
        case = {"name": name, **variant, "weights_sha256": digest}
        case["scores"] = [row[:plain] for row in rows]
        cases.append({**case, "special_scores": [row[plain:] for row in rows]})
    names = ("FlagEmbedding", "torch", "transformers", "tokenizers", "numpy")
    golden = {
        "what": "scores[query][text] and special_scores[query][special_text], raw logits by"
        " FlagEmbedding's FlagReranker, fp32 on a CPU, on"
        " checkpoints.<maker>(folder, **settings)",
        "versions": {name: version(name) for name in names},
        "queries": QUERIES,
        "texts": TEXTS,
        "special_texts": SPECIAL_TEXTS,
        "cases": cases,
    }
    text = json.dumps(golden, indent=1, ensure_ascii=False)
    (HERE / "cross_encoder.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
