"""Bodies that are wrong in one way each, and the right ones that they are made of."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

__all__ = ["BODIES", "KNOWN", "Made", "encoded"]

Made = tuple[bytes, bool]
"""A body, and whether to accept it would be wrong."""

QUERY = "what is a giant panda?"
TEXTS = [
    "The capital of France is Paris.",
    "The giant panda is a bear that lives in China and eats bamboo.",
    "大熊猫是一种生活在中国的熊。",
    "",
    "Pandas 🐼🎋 sind Bären, naïve façade.",
]

KNOWN: dict[str, dict[str, Any]] = {
    "/rerank": {"query": QUERY, "texts": TEXTS, "raw_scores": True, "return_text": True},
    "/v1/rerank": {"query": QUERY, "documents": TEXTS, "return_documents": True, "top_n": 4},
    "/v2/rerank": {"query": QUERY, "documents": TEXTS},
    "/score": {"text_1": QUERY, "text_2": TEXTS},
    "/v1/score": {"queries": TEXTS, "documents": TEXTS},
    "/rank": {"query": QUERY, "texts": TEXTS, "top_n": 3, "threshold": 0.0, "return_texts": True},
    "/explain": {"query": QUERY, "text": TEXTS[1]},
}
"""A request that is right, for every route."""


def encoded(body: object) -> bytes:
    """JSON as clients write it."""
    return json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass")


def _broken(rng: random.Random, path: str) -> Made:
    whole = encoded(KNOWN[path])
    cut = rng.randrange(1, len(whole))
    return rng.choice(
        [
            whole[:cut],
            b"",
            b" \n ",
            whole + whole,
            whole + b",",
            whole.replace(b'"', b"'"),
            whole.replace(b'"', b""),
            b"// " + whole,
            whole[:-1] + b",}",
            whole[:cut] + b"\x00" + whole[cut:] + b"\x00",
            b")]}'," + whole,
            b"query=panda&documents=bear",
            whole[cut:],
        ]
    ), True


def _flipped(rng: random.Random, path: str) -> Made:
    whole = bytearray(encoded(KNOWN[path]))
    for _ in range(rng.randint(1, 8)):
        whole[rng.randrange(len(whole))] = rng.randrange(256)
    return bytes(whole), False


def _value(rng: random.Random, depth: int = 0) -> Any:
    plain: list[Any] = [
        None, True, False, 0, -1, 1, 2**31, 2**63, -(2**64), 1.5, -0.0, 1e308, "", "text", "5",
        "\x00", "🐼", "\u202e", [], {}, [[]], [None], [""], {"text": None}, {"": ""}, "a" * 2000,
    ]  # fmt: skip
    if depth < 3 and rng.random() < 0.3:
        inner = [_value(rng, depth + 1) for _ in range(rng.randint(1, 4))]
        return inner if rng.random() < 0.5 else {str(i): value for i, value in enumerate(inner)}
    return rng.choice(plain)


def _wrong_types(rng: random.Random, path: str) -> Made:
    body: Any = dict(KNOWN[path])
    for _ in range(rng.randint(1, 3)):
        name = rng.choice(
            [
                *body,
                "model",
                "top_n",
                "rank_fields",
                "raw_scores",
                "use_activation",
                "__proto__",
                "",
            ]
        )
        body[name] = _value(rng)
    if rng.random() < 0.1:
        body = _value(rng)
    elif rng.random() < 0.2:
        body.pop(rng.choice(list(body)))
    return encoded(body), False


def _numbers(rng: random.Random, path: str) -> Made:
    name = rng.choice(["top_n", "threshold", "max_tokens_per_doc", "query", "more"])
    number, wrong = rng.choice(
        [
            ("NaN", True), ("Infinity", True), ("-Infinity", True), ("1e400", False),
            ("-1e400", False), ("1" * 5000, False), ("-" + "9" * 400, False), ("0x10", True),
            ("01", True), ("1.", True), (".5", True), ("+1", True), ("1e", True), ("1e-400", False),
            ("9007199254740993", False), ("--1", True), ("1_000", True), ("١", True),
        ]
    )  # fmt: skip
    whole = encoded({**KNOWN[path], name: "HERE"}) if rng.random() < 0.8 else _echoed("HERE")
    return whole.replace(b'"HERE"', number.encode()), wrong


def _echoed(value: Any) -> bytes:
    documents = [{"text": TEXTS[0], "more": value}, *TEXTS]
    return encoded({"query": QUERY, "documents": documents, "return_documents": True})


def _deep(rng: random.Random, path: str) -> Made:
    depth = rng.choice([500, 5_000, 100_000])
    opening, closing = rng.choice([("[", "]"), ('{"a":', "}"), ('[{"b":[', "]}]")])
    inner = "null" if opening.endswith(":") else ""
    deep = opening * depth + inner + (closing * depth if rng.random() < 0.7 else "")
    if rng.random() < 0.3:
        return deep.encode(), True
    if rng.random() < 0.5:
        # About as deep as Python's recursion goes: read, and perhaps not written any more.
        depth = rng.randrange(900, 1_000)
        deep = opening * depth + (inner and "1") + closing * depth
        return _echoed("HERE").replace(b'"HERE"', deep.encode()), False
    name = rng.choice(["documents", "texts", "query", "unknown"])
    return encoded({**KNOWN[path], name: "HERE"}).replace(b'"HERE"', deep.encode()), False


def _encodings(rng: random.Random, path: str) -> Made:
    whole = encoded(KNOWN[path])
    escaped = json.dumps(KNOWN[path]).encode()
    bad = rng.choice(
        [b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xe2\x82", b"\x80"]
    )
    return rng.choice(
        [
            (whole.replace(b"panda", b"pan" + bad + b"da"), True),
            (whole.replace(b"panda", b"pan\x00da"), True),
            (whole.replace(b"panda", b"pan\x1fda"), True),
            (escaped.replace(b"panda", rb"pan\ud83dda"), False),
            (escaped.replace(b"panda", rb"\udc00\ud83d"), False),
            (escaped.replace(b"panda", rb"pan\u0000da"), False),
            (escaped.replace(b"panda", rb"pan\uZZZZda"), True),
            (escaped.replace(b"panda", rb"pan\xda"), True),
            (b"\xef\xbb\xbf" + whole, False),
            (whole.decode().encode("utf-16"), False),
            (whole.decode().encode("utf-16-le"), False),
            (whole.decode().encode("utf-16-be"), False),
            (whole.decode().encode("utf-32"), False),
            (whole.decode().encode("latin-1", "replace"), False),
            (whole.decode().encode("utf-7"), False),
        ]
    )


def _duplicates(rng: random.Random, path: str) -> Made:
    first, second = encoded(KNOWN[path]), encoded({**KNOWN[path], "query": rng.choice(TEXTS)})
    if rng.random() < 0.5:
        second = encoded({"documents": TEXTS, "texts": TEXTS, "text_1": QUERY, "text_2": TEXTS[0]})
    return first[:-1] + b"," + second[1:], False


def _huge(rng: random.Random, path: str) -> Made:
    text = rng.choice(["a", "panda ", "🐼", "\\u0000", "e\u0301", "熊"]) * rng.choice(
        [10**4, 10**5]
    )
    name = rng.choice([name for name, value in KNOWN[path].items() if not isinstance(value, bool)])
    value = [text] if isinstance(KNOWN[path][name], list) else text
    return encoded({**KNOWN[path], name: value}), False


def _many(rng: random.Random, path: str) -> Made:
    many = rng.choice([300, 1_000, 20_000, 500_000])
    lists = [name for name, value in KNOWN[path].items() if isinstance(value, list)]
    lists += ["rank_fields", "query", "queries"]
    items: list[Any] = [rng.choice(["a", "", None, 0, "bear", {}])] * many
    name = rng.choice(lists)
    if rng.random() < 0.2:
        return encoded({**KNOWN[path], **{f"key {i}": i for i in range(many)}}), False
    return encoded({**KNOWN[path], name: items}), False


BODIES: dict[str, tuple[int, Callable[[random.Random, str], Made]]] = {
    "broken JSON": (20, _broken),
    "flipped bytes": (20, _flipped),
    "wrong types": (40, _wrong_types),
    "numbers": (15, _numbers),
    "deep nesting": (4, _deep),
    "encodings": (20, _encodings),
    "duplicate keys": (8, _duplicates),
    "huge strings": (2, _huge),
    "many items": (2, _many),
}
"""How often and how, by kind."""
