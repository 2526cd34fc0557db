from __future__ import annotations

import json
import sys

import pytest

from rag_rerankers import RemoteError, Reranker

TEXTS = ["bears eat", "", "the giant panda is a bear", "[bold]rust[/bold]"]


@pytest.fixture
def texts(tmp_path):
    path = tmp_path / "texts.txt"
    path.write_text("\n".join(TEXTS) + "\n", encoding="utf-8")
    return path


def test_json_holds_every_hit_best_first(call, model, texts):
    done = call("rank", "panda?", texts, "--model", model, "--json")
    hits = json.loads(done.stdout)
    assert sorted(hit["index"] for hit in hits) == [0, 1, 2, 3]
    assert [hit["text"] for hit in hits] == [TEXTS[hit["index"]] for hit in hits]
    assert [hit["score"] for hit in hits] == sorted((h["score"] for h in hits), reverse=True)


def test_the_table_shows_lines_and_texts_as_they_are(call, model, texts):
    done = call("rank", "panda?", texts, "--model", model, "--top-n", 4)
    assert done.exit_code == 0
    assert "[bold]rust[/bold]" in done.stdout
    assert len(done.stdout.splitlines()) == 5
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_stdin_and_jsonl_give_the_same(call, model, texts, tmp_path):
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    options = ("--model", model, "--json")
    from_file = call("rank", "panda?", texts, *options)
    assert call("rank", "panda?", path, *options).stdout == from_file.stdout
    stdin = "\n".join(TEXTS) + "\n"
    assert call("rank", "panda?", "-", *options, stdin=stdin).stdout == from_file.stdout


def test_a_cascade_is_written_with_an_arrow(call, make, model, texts):
    cheap = make("bert_encoder")
    alone = json.loads(call("rank", "panda?", texts, "--model", model, "--json").stdout)
    score_of = {hit["index"]: hit["score"] for hit in alone}
    for keep, n_read in ((("--keep", 2), 2), ((), 4)):
        done = call("rank", "panda?", texts, "--model", f"{cheap}>{model}", *keep, "--json")
        hits = json.loads(done.stdout)
        own = [hit["score"] for hit in hits[:n_read]]
        assert own == pytest.approx([score_of[hit["index"]] for hit in hits[:n_read]], abs=1e-4)
        assert sorted(hit["index"] for hit in hits) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--keep", "3"), "ValueError: --keep 3 is for a cascade"),
        (("--model", "no/such>", "--keep", "0"), "ValueError: keep must be 1 or more"),
        (("--model", "no/such-folder-here"), "ModelLoadError: "),
        (("--threshold", "2"), "ValueError: threshold"),
        (("--top-n", "-1"), "ValueError: top_n"),
        (("--dtype", "float12"), "ValueError: dtype must be one of"),
    ],
)
def test_mistakes_are_one_line_on_stderr(call, model, texts, arguments, message):
    done = call("rank", "panda?", texts, "--model", model, *arguments)
    assert done.exit_code == 1
    assert done.stdout == ""
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_bad_line_is_named(call, model, tmp_path):
    path = tmp_path / "texts.jsonl"
    path.write_text('{"text": "a"}\n{"txt": "b"}\n')
    done = call("rank", "panda?", path, "--model", model)
    assert done.exit_code == 1
    assert "texts.jsonl:2" in done.stderr.replace("\n", "")


def test_a_missing_file_is_named(call, model, tmp_path):
    done = call("rank", "panda?", tmp_path / "none.txt", "--model", model)
    assert done.exit_code == 1
    assert "none.txt" in done.stderr.replace("\n", "")


def test_models_lists_the_aliases(call):
    from rag_rerankers import ALIASES

    table = call("models")
    assert table.exit_code == 0
    assert all(alias in table.stdout for alias in ALIASES)
    assert {row["alias"] for row in json.loads(call("models", "--json").stdout)} == set(ALIASES)


def test_version(call):
    from rag_rerankers import __version__

    assert call("--version").stdout.strip() == __version__


def test_without_a_command_the_help_is_shown(call):
    done = call()
    assert all(
        f" {name} " in done.output for name in ("rank", "explain", "eval", "compare", "models")
    )


@pytest.mark.usefixtures("socket_enabled")
def test_a_server_that_is_down_is_one_line_without_its_password(call, texts):
    url = "http://me:hunter2@127.0.0.1:9"  # the port of "discard": nobody listens
    done = call("rank", "panda?", texts, "--model", url, "--timeout", "0.3")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "http://127.0.0.1:9" in done.stderr.replace("\n", "")
    assert "hunter2" not in done.output


def test_texts_that_were_not_scored_have_no_number(call, texts, monkeypatch):
    class Down:
        def score(self, query, texts):
            raise RemoteError("http://h answered 503: overloaded")

    def load(model, keep, **options):
        assert (options["timeout"], model) == (2.5, "http://h")
        return Reranker(Down(), on_failure=options["on_failure"])

    monkeypatch.setattr(sys.modules["rag_rerankers.cli.rank"], "_load", load)
    options = ("--model", "http://h", "--timeout", "2.5", "--top-n", "2")
    done = call("rank", "panda?", texts, *options)
    assert (done.exit_code, done.stdout) == (1, "")
    done = call("rank", "panda?", texts, *options, "--on-failure", "keep_order", "--json")
    assert done.exit_code == 0
    assert "warning: Down did not rank" in done.stderr
    hits = json.loads(done.stdout)
    assert [(hit["index"], hit["score"], hit["relevance"]) for hit in hits] == [
        (0, None, None),
        (1, None, None),
    ]
    table = call("rank", "panda?", texts, *options, "--on-failure", "keep_order").stdout
    assert [line.split()[:4] for line in table.splitlines()[1:]] == [
        ["1", "-", "-", "1"],
        ["2", "-", "-", "2"],
    ]
