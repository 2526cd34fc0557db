"""Writes colbert.json: scores by colbert-ai's own code. Run with colbert-ai 0.2.22 installed:

HF_HUB_OFFLINE=1 python -m tests.golden.make_colbert
"""

from __future__ import annotations

import json
import random
import tempfile
from importlib.metadata import version
from pathlib import Path

from tests.oracles import colbert_ai

from tests import checkpoints

HERE = Path(__file__).parent


def words(count: int, seed: int) -> str:
    chosen = random.Random(seed)
    plain = [chosen.choice(checkpoints.WORDS) for _ in range(count)]
    odd = [
        "".join(chosen.choices("bcdfghjklmnpqrstvwxyz", k=chosen.randint(2, 7)))
        for _ in range(count)
    ]
    made = [chosen.choice(pair) for pair in zip(plain, odd, strict=True)]
    return " ".join(f"{word}{chosen.choice([''] * 6 + [',', '.', '!', '-'])}" for word in made)


QUERIES = ["what is a giant panda?", "", words(60, seed=1)]
TEXTS = [
    "",
    "...!?",
    "panda",
    "The giant panda is a bear that lives in China and eats bamboo.",
    words(12, seed=2),
    words(40, seed=3),
    words(90, seed=4),
    words(400, seed=5),
    "naïve café Ångström ß λόγος привет \U0001f43c emoji\u200b and\ttabs\nlines",
    "東京は日本の中国語 search, 熊猫?",
    "(a) [b] {c} <d> \"e\" 'f' g/h\\i_j|k~l^m`n@o#p$q%r&s*t+u=v;w:x",
    "river " * 300,
]
# Tokens of the model written out in a text: tokenizers read them as such.
SPECIAL_TEXTS = ["a [SEP] panda [MASK] and [PAD] bear [unused1] here", "[PAD] [PAD] [CLS]"]
VARIANTS: dict[str, dict[str, object]] = {
    "default": {},
    "attended": {"attend_to_mask_tokens": True},
    # Some query vectors find no document vector at less than 90 degrees: a floor of 0 shows here.
    "negative": {"dim": 8, "seed": 14},
    "short": {"query_maxlen": 12, "doc_maxlen": 20, "dim": 8, "seed": 7},
}


def main() -> None:
    cases = []
    for name, settings in VARIANTS.items():
        with tempfile.TemporaryDirectory() as made:
            folder = checkpoints.stanford_colbert(Path(made) / "colbert", **settings)  # type: ignore[arg-type]
            loaded = colbert_ai.checkpoint(folder)
            scores, special = (
                [colbert_ai.score(folder, query, texts, loaded=loaded) for query in QUERIES]
                for texts in (TEXTS, SPECIAL_TEXTS)
            )
            digest = checkpoints.weights_sha256(folder)
        case = {"name": name, "settings": settings, "weights_sha256": digest, "scores": scores}
        cases.append({**case, "special_scores": special})
    versions = {
        name: version(name)
        for name in ("colbert-ai", "torch", "transformers", "tokenizers", "numpy")
    }
    golden = {
        "what": "scores[query][text] and special_scores[query][special_text], by colbert-ai's"
        " Checkpoint and colbert_score, fp32 on a CPU, on"
        " checkpoints.stanford_colbert(folder, **settings)",
        "versions": versions,
        "queries": QUERIES,
        "texts": TEXTS,
        "special_texts": SPECIAL_TEXTS,
        "cases": cases,
    }
    text = json.dumps(golden, indent=1, ensure_ascii=False)
    (HERE / "colbert.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
