"""Writes multivector.json: scores by the peers' own code on their own layouts.

Run once in each environment, for the two do not fit into one:

    HF_HUB_OFFLINE=1 python -m tests.golden.make_multivector pylate    # PyLate 1.6.0
    HF_HUB_OFFLINE=1 python -m tests.golden.make_multivector sentence-transformers    # 6.2.0

The vectors are the peer's. PyLate's are summed here, for its own padding floors maxima at 0.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from tests.golden.make_colbert import QUERIES, SPECIAL_TEXTS, TEXTS

from tests import checkpoints

ALL = [*TEXTS, *SPECIAL_TEXTS]
HERE = Path(__file__).parent
TANH = "torch.nn.modules.activation.Tanh"
PYLATE: dict[str, dict[str, Any]] = {
    "default": {},
    "old-markers-bin": {
        "prefixes": ["[unused0]", "[unused1]"],
        "weights": "bin",
        "omit": ["do_query_expansion"],
    },
    "absent-keys": {
        "omit": [
            "query_prefix",
            "document_prefix",
            "query_length",
            "document_length",
            "attend_to_expansion_tokens",
            "skiplist_words",
            "do_query_expansion",
        ]
    },
    "attended": {"attend_to_expansion_tokens": True},
    "not-expanded": {
        "do_query_expansion": False,
        "attend_to_expansion_tokens": True,
        "query_length": 16,
    },
    "no-markers": {"prefixes": ["", ""], "query_length": 24, "document_length": 60},
    "own-skiplist": {"skiplist_words": ["the", "panda", "."]},
    "two-heads": {
        "dense": [
            {"out_features": 24, "bias": True, "use_residual": True, "activation_function": TANH},
            {"out_features": 24, "use_residual": True},
            {"out_features": 8},
        ]
    },
}
SENTENCE_TRANSFORMERS: dict[str, dict[str, Any]] = {
    "default": {},
    "attended": {"query_expansion": {"attend": True}},
    "min": {"query_expansion": {"strategy": "min", "length": 12}, "document_length": None},
    "min-capped": {"query_expansion": {"strategy": "min", "length": 12}, "query_length": 20},
    "own-token": {"query_expansion": {"token": "[unused2]", "length": 20}},
    "not-expanded": {"expand": False, "query_length": 16, "skiplist_words": []},
    "text-prompts": {"prompts": ["query: ", "passage: "], "special_prompts": False},
    "mean-bin": {"similarity": "meanmaxsim", "weights": "bin"},
    "not-normalized": {"normalize": False},
}


def maxsim(asked: torch.Tensor, found: list[torch.Tensor]) -> list[float]:
    return [float((asked @ one.T).max(dim=1).values.sum()) for one in found]


def pylate(folder: Path) -> list[list[float]]:
    from pylate import models  # type: ignore[import-not-found, unused-ignore]

    model = models.ColBERT(str(folder), device="cpu")
    found = model.encode(ALL, is_query=False, convert_to_numpy=False)
    return [
        maxsim(model.encode(query, is_query=True, convert_to_numpy=False), found)
        for query in QUERIES
    ]


def sentence_transformers(folder: Path) -> list[list[float]]:
    from sentence_transformers import MultiVectorEncoder

    model = MultiVectorEncoder(str(folder), device="cpu")
    # The encoder's normalization is the layout's own: the module list decides.
    found = model.encode_document(ALL)
    return [model.similarity(model.encode_query([query]), found)[0].tolist() for query in QUERIES]


PEERS: dict[
    str, tuple[str, str, dict[str, dict[str, Any]], Callable[[Path], list[list[float]]]]
] = {
    "pylate": ("pylate", "pylate_colbert", PYLATE, pylate),
    "sentence-transformers": (
        "sentence-transformers",
        "st_multivector",
        SENTENCE_TRANSFORMERS,
        sentence_transformers,
    ),
}


def main(peer: str) -> None:
    distribution, maker, variants, scorer = PEERS[peer]
    names = (distribution, "sentence-transformers", "torch", "transformers", "tokenizers", "numpy")
    versions = {name: version(name) for name in names}
    cases = []
    for name, settings in variants.items():
        with tempfile.TemporaryDirectory() as made:
            folder = getattr(checkpoints, maker)(Path(made) / "model", **settings)
            digest = checkpoints.weights_sha256(folder)
            rows = scorer(folder)
        case: dict[str, Any] = {
            "name": f"{peer}-{name}",
            "maker": maker,
            "settings": settings,
            "weights_sha256": digest,
        }
        case["scores"] = [row[: len(TEXTS)] for row in rows]
        case["special_scores"] = [row[len(TEXTS) :] for row in rows]
        cases.append(case)
    path = HERE / "multivector.json"
    golden = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"peers": {}}
    golden["what"] = (
        "peers.<name>.cases: scores[query][text] and special_scores[query][special_text], fp32 on"
        " a CPU, on checkpoints.<maker>(folder, **settings)"
    )
    golden["queries"], golden["texts"], golden["special_texts"] = QUERIES, TEXTS, SPECIAL_TEXTS
    golden["peers"][peer] = {"versions": versions, "cases": cases}
    path.write_text(json.dumps(golden, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
