from __future__ import annotations

import json

import pytest
from rich.cells import cell_len

from rag_rerankers import Reranker

QUERY, TEXT = "what is a panda?", "The giant panda is a [bold]bear[/bold], 東京."


@pytest.fixture(scope="session")
def colbert(make):
    return make("stanford_colbert")


@pytest.fixture
def options(colbert):
    return ("--model", colbert, "--dtype", "float32")


def test_the_table_is_no_wider_than_the_terminal(call, options):
    done = call("explain", QUERY, TEXT, *options)
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert lines[0].startswith("score ")
    assert {"panda", "[CLS]", "[unused0]"} <= {line.split()[0] for line in lines}
    assert max(map(cell_len, lines)) <= 80


def test_json_holds_everything(call, options, colbert):
    found = json.loads(call("explain", QUERY, TEXT, *options, "--json").stdout)
    (hit,) = Reranker(colbert, dtype="float32").rank(QUERY, [TEXT])
    assert found["score"] == pytest.approx(hit.score, abs=1e-4)
    assert found["relevance"] == pytest.approx(hit.relevance, abs=1e-4)
    assert (found["query"], found["text"]) == (QUERY, TEXT)
    assert len(found["matches"]) == len(found["similarities"]) == 32
    skipped = [token["kind"] == "skipped" for token in found["tokens"]]
    assert any(skipped)
    for match, row in zip(found["matches"], found["similarities"], strict=True):
        assert [value is None for value in row] == skipped
        assert match["similarity"] == max(value for value in row if value is not None)
        assert match["matched"] == found["tokens"][match["index"]]


def test_the_text_may_come_from_stdin(call, options):
    given = call("explain", QUERY, TEXT, *options, "--json").stdout
    assert call("explain", QUERY, "-", *options, "--json", stdin=f"{TEXT}\n").stdout == given


def test_the_page_is_written_beside_the_table(call, options, tmp_path):
    path = tmp_path / "page.html"
    done = call("explain", QUERY, TEXT, *options, "--html", path)
    assert done.stdout == call("explain", QUERY, TEXT, *options).stdout
    assert "page.html" in done.stderr.replace("\n", "")
    page = path.read_text("utf-8")
    assert page.startswith("<!doctype html>")
    assert ">東</mark>" in page


@pytest.mark.filterwarnings("always::rag_rerankers.TruncationWarning")
def test_a_text_that_is_cut_is_told_on_stderr(call, options):
    done = call("explain", QUERY, "bear " * 300, *options, "--json")
    assert done.exit_code == 0
    assert "were cut" in done.stderr.replace("\n", " ")
    assert json.loads(done.stdout)["tokens"][-1]["text"] == "[SEP]"
    whole = call("explain", QUERY, "bear " * 300, *options, "--long-documents", "max_passage")
    assert "were cut" not in whole.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--model", "a>b"), "ValueError: 'a>b' is a cascade"),
        (("--model", "no/such-folder-here"), "ModelLoadError: "),
        (("--html", "/no/such/folder/page.html"), "FileNotFoundError: "),
    ],
)
def test_mistakes_are_one_line_on_stderr(call, options, arguments, message):
    done = call("explain", QUERY, TEXT, *options, *arguments)
    assert done.exit_code == 1
    assert done.stdout == ""
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_cross_encoder_is_refused_by_name(call, model):
    done = call("explain", QUERY, TEXT, "--model", model)
    assert done.exit_code == 1
    assert done.stdout == ""
    told = done.stderr.replace("\n", "")
    assert model.name in told
    assert "late-interaction" in told
