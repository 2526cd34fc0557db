"""What the pages for users say is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted((ROOT / "docs").glob("*.md"))


def blocks(kind: str) -> list[str]:
    return [
        block
        for page in PAGES
        for block in re.findall(rf"```{kind}\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    ]


@pytest.mark.parametrize("block", blocks("python"))
def test_every_example_is_python(block):
    compile(block, "docs", "exec")


@pytest.mark.parametrize("line", [line for block in blocks("json") for line in block.splitlines()])
def test_every_form_of_a_question_with_passages_is_read(line, tmp_path):
    from rag_rerankers.evaluation import load_collection

    path = tmp_path / "asked.jsonl"
    path.write_text(line + "\n", "utf-8")
    collection = load_collection(path)
    assert collection.queries == {"q1": "what is a panda?"}
    ((relevant,),) = [[d for d, grade in g.items() if grade > 0] for g in collection.qrels.values()]
    assert collection.documents[relevant] == "A bear."


def test_every_option_that_is_named_exists():
    from typer.main import get_command

    from rag_rerankers.cli import app

    commands = list(get_command(app).commands.values())  # type: ignore[attr-defined]
    for command in commands:  # groups have commands of their own
        commands += getattr(command, "commands", {}).values()
    known = {
        option
        for command in commands
        for parameter in command.params
        for option in (*parameter.opts, *parameter.secondary_opts)
    }
    docs = ROOT / "docs"
    pages = [ROOT / "README.md", docs / "evaluation.md", docs / "serving.md"]
    named = {
        option
        for page in pages
        for line in page.read_text("utf-8").splitlines()
        for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+", line)
        if not line.lstrip().startswith(("pip ", "python ", "make ", "-e "))
    }
    assert {"--qrels", "--first-stage", "--no-cost"} <= named
    assert named <= known | {"--answers", "--all", "--help", "--no-deps", "--url", "--clients"}


def test_links_lead_somewhere():
    for page in PAGES:
        links = re.findall(r"\]\(([^)]+)\)", page.read_text("utf-8"))
        broken = [to for to in links if "://" not in to and not leads_somewhere(page, to)]
        assert broken == []


def leads_somewhere(page: Path, link: str) -> bool:
    """Whether the file is there, and the heading in it."""
    name, _, heading = link.partition("#")
    file = page.parent / name if name else page
    if not file.exists() or not heading:
        return file.exists()
    headings = re.findall(r"^#+ (.*)$", file.read_text("utf-8"), re.MULTILINE)
    return heading in {re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in headings}
