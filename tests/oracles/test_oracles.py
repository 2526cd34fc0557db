"""The references agree: the transcriptions with what the peers' own code recorded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.oracles import colbert, colbert_ai, cross_encoder

from tests import checkpoints

GOLDEN = Path(__file__).parent.parent / "golden"


def read(name: str) -> dict[str, Any]:
    made: dict[str, Any] = json.loads((GOLDEN / name).read_text(encoding="utf-8"))
    return made


COLBERT = read("colbert.json")
CROSS = read("cross_encoder.json")
MULTI = read("multivector.json")
MULTI_CASES = [case for peer in MULTI["peers"].values() for case in peer["cases"]]


def same(scores: list[list[float]], expected: list[list[float]]) -> None:
    assert len(scores) == len(expected)
    for row, wanted in zip(scores, expected, strict=True):
        assert row == pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize("case", COLBERT["cases"], ids=lambda case: case["name"])
@pytest.mark.parametrize("weights", ["safetensors", "bin"])
def test_colbert_transcription(case: dict[str, Any], weights: str, tmp_path: Path) -> None:
    folder = checkpoints.stanford_colbert(tmp_path / "made", weights=weights, **case["settings"])  # type: ignore[arg-type]
    assert checkpoints.weights_sha256(folder) == case["weights_sha256"]
    reference = colbert.Reference(folder)
    for texts, scores in (("texts", "scores"), ("special_texts", "special_scores")):
        found = [reference.score(query, COLBERT[texts]) for query in COLBERT["queries"]]
        same(found, case[scores])


@pytest.mark.parametrize("case", CROSS["cases"], ids=lambda case: case["name"])
def test_cross_encoder_transcription(case: dict[str, Any], tmp_path: Path) -> None:
    folder = getattr(checkpoints, case["maker"])(tmp_path / "made", **case["settings"])
    assert checkpoints.weights_sha256(folder) == case["weights_sha256"]
    reference = cross_encoder.Reference(folder)
    for texts, scores in (("texts", "scores"), ("special_texts", "special_scores")):
        length = case["max_length"]
        found = [reference.score(query, CROSS[texts], length) for query in CROSS["queries"]]
        same(found, case[scores])


@pytest.mark.parametrize("case", MULTI_CASES, ids=lambda case: case["name"])
def test_multivector_weights(case: dict[str, Any], tmp_path: Path) -> None:
    folder = getattr(checkpoints, case["maker"])(tmp_path / "made", **case["settings"])
    assert checkpoints.weights_sha256(folder) == case["weights_sha256"]


def test_the_layouts_share_their_weights() -> None:
    """Recorded by three peers, on three layouts."""
    defaults = {case["name"]: case["scores"] for case in COLBERT["cases"] + MULTI_CASES}
    same(defaults["pylate-default"], defaults["default"])
    same(defaults["sentence-transformers-default"], defaults["default"])
    same(defaults["pylate-attended"], defaults["attended"])


def test_colbert_ai_live(tmp_path: Path) -> None:
    pytest.importorskip("colbert")
    folder = checkpoints.stanford_colbert(tmp_path / "made")
    texts = COLBERT["texts"][:6]
    found = [colbert_ai.score(folder, query, texts) for query in COLBERT["queries"]]
    same(found, [row[:6] for row in COLBERT["cases"][0]["scores"]])
