from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.examples import scenario
from tests.examples.chat_server import ChatServer
from tests.examples.scenario import Demo

import rag_qa_llama_index

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])


@pytest.fixture
def demo(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Demo]:
    with Demo.over(rag_qa_llama_index, "LlamaIndex", tmp_path, capsys, monkeypatch) as made:
        yield made


def test_the_best_five_reach_the_llm_in_order(demo: Demo, llm: ChatServer) -> None:
    scenario.the_best_five_reach_the_llm_in_order(demo, llm)


def test_both_orders_are_shown(demo: Demo, llm: ChatServer) -> None:
    scenario.both_orders_are_shown(demo, llm)


def test_only_changes_are_embedded(demo: Demo, llm: ChatServer) -> None:
    scenario.only_changes_are_embedded(demo, llm)


def test_every_judged_question_is_recorded(
    demo: Demo, llm: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario.every_judged_question_is_recorded(demo, llm, monkeypatch)


def test_an_unreachable_llm_is_explained(demo: Demo) -> None:
    scenario.an_unreachable_llm_is_explained(demo)


def test_ctrl_c_reaches_a_slow_llm(demo: Demo, llm: ChatServer) -> None:
    scenario.ctrl_c_reaches_a_slow_llm(demo, llm)


def test_a_refused_key_is_explained(demo: Demo, llm: ChatServer) -> None:
    scenario.a_refused_key_is_explained(demo, llm)


def test_a_page_instead_of_an_answer_is_explained(demo: Demo, llm: ChatServer) -> None:
    scenario.a_page_instead_of_an_answer_is_explained(demo, llm)


def test_a_model_that_cannot_be_loaded_is_explained(demo: Demo) -> None:
    scenario.a_model_that_cannot_be_loaded_is_explained(demo)


def test_the_script_starts_without_heavy_imports() -> None:
    program = (
        "import sys, rag_qa_llama_index\n"
        "heavy = {'torch', 'transformers', 'numpy', 'chromadb', 'matplotlib', 'openai'}\n"
        "heavy |= {'langchain_core', 'llama_index.core', 'sentence_transformers', 'xllamacpp'}\n"
        "sys.exit(repr(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)\n"
    )
    examples = Path(__file__).parents[2] / "examples"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=examples, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
