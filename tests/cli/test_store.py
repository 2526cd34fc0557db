from __future__ import annotations

import json
import sqlite3

import pytest

from rag_rerankers.store.database import FILE

TEXTS = ["bears eat", "the giant panda is a bear", "", "the giant panda is a bear"]


@pytest.fixture(scope="session")
def late(make):
    return make("stanford_colbert")


@pytest.fixture
def texts(tmp_path):
    path = tmp_path / "texts.txt"
    path.write_text("\n".join(TEXTS) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "tokens"


@pytest.fixture
def warmed(call, folder, texts, late):
    done = call("store", "warm", folder, texts, "--model", late)
    assert done.exit_code == 0, done.stderr
    return done


def test_warm_encodes_and_says_so(call, warmed, folder, texts, late):
    assert "3 texts encoded in" in warmed.stdout
    assert "1 were there already" in warmed.stdout
    again = call("store", "warm", folder, texts, "--model", late, "--json")
    told = json.loads(again.stdout)
    assert (told["texts"], told["encoded"], told["present"]) == (4, 0, 4)


def test_warm_reads_jsonl_and_stdin(call, folder, tmp_path, late):
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    assert "3 texts encoded" in call("store", "warm", folder, path, "--model", late).stdout
    done = call("store", "warm", folder, "-", "--model", late, stdin="\n".join(TEXTS) + "\nnew\n")
    assert "1 texts encoded" in done.stdout


def test_warm_says_what_was_cut(call, folder, tmp_path, late):
    path = tmp_path / "long.txt"
    path.write_text("panda " * 400 + "\n")
    assert "1 texts were cut" in call("store", "warm", folder, path, "--model", late).stderr


@pytest.mark.usefixtures("warmed")
def test_rank_takes_what_is_there(call, folder, texts, late):
    options = ("--model", late, "--dtype", "float32", "--json")
    plain = json.loads(call("rank", "panda?", texts, *options).stdout)
    found = json.loads(call("rank", "panda?", texts, *options, "--store", folder).stdout)
    assert [hit["score"] for hit in found] == pytest.approx(
        [hit["score"] for hit in plain], abs=0.1
    )


@pytest.mark.usefixtures("warmed")
def test_info(call, folder):
    told = json.loads(call("store", "info", folder, "--json").stdout)
    assert told["entries"] == 3
    assert told["models"][0]["compression"] == "int8"
    done = call("store", "info", folder)
    assert "3 texts" in done.stdout
    assert "bytes/vector" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


@pytest.mark.usefixtures("warmed")
def test_verify_finds_damage(call, folder):
    assert "3 entries read, 0 of them damaged" in call("store", "verify", folder).stdout
    with sqlite3.connect(folder / FILE) as connection:
        connection.execute("UPDATE entries SET data = x'00' WHERE id = 2")
    told = json.loads(call("store", "verify", folder, "--json").stdout)
    assert told == {"entries": 3, "damaged": 1}


@pytest.mark.usefixtures("warmed")
def test_prune(call, folder):
    done = call("store", "prune", folder)
    assert done.exit_code == 1
    assert "say what to remove: --max-size, --unused-days or --model" in done.stderr
    assert "0 entries removed" in call("store", "prune", folder, "--unused-days", 1).stdout
    assert "3 entries removed" in call("store", "prune", folder, "--max-size", "0").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("info", "nowhere"), "there is no token store in nowhere: 'store warm' makes one"),
        (("verify", "nowhere"), "there is no token store"),
        (("prune", "nowhere", "--max-size", "1"), "there is no token store"),
        (("prune", "nowhere", "--max-size", "much"), "'much' is not a size"),
    ],
)
def test_what_cannot_be_done_is_one_line(call, arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = call("store", *arguments)
    assert done.exit_code == 1
    assert message in " ".join(done.stderr.split())
    assert not list(tmp_path.iterdir())


def test_a_cross_encoder_is_refused(call, folder, texts, model):
    done = call("store", "warm", folder, texts, "--model", model)
    assert done.exit_code == 1
    assert "is for late-interaction models" in " ".join(done.stderr.split())
