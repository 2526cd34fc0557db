"""The examples of README.md and of the docstrings run; its table of fields is complete."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

from llama_index.postprocessor.rag_rerankers import RagRerank, base

README = (Path(__file__).parent.parent / "README.md").read_text("utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


def test_query_engine_example(capsys: pytest.CaptureFixture[str]) -> None:
    exec(EXAMPLES[0], {})
    shown = capsys.readouterr().out.strip().splitlines()[-1]
    assert re.match(r"\[\(0\.\d+, 'Pandas eat bamboo\.'\), \(0\.\d+, '", shown)


def test_by_hand_example(capsys: pytest.CaptureFixture[str]) -> None:
    exec(EXAMPLES[1], {})
    shown = capsys.readouterr().out.strip().splitlines()[-1]
    assert re.fullmatch(r"a bear that eats bamboo 0\.\d+ 1", shown)


def test_every_example_is_tested() -> None:
    assert len(EXAMPLES) == 2


def test_table_of_fields() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| `([^`]+)` \|", README, flags=re.MULTILINE))
    pinned = {
        name: str(field.default) if name == "metadata_mode" else repr(field.default)
        for name, field in RagRerank.model_fields.items()
        if name != "callback_manager"
    }
    assert {name: text.replace('"', "'") for name, text in rows.items()} == pinned


def test_docstring_example() -> None:
    result = doctest.testmod(base)
    assert (result.failed, result.attempted) == (0, 5)
