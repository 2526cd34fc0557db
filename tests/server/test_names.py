from __future__ import annotations

import pytest

pytest.importorskip("fastapi")
from rag_rerankers.server.names import parse_name


@pytest.mark.parametrize(
    ("given", "name", "model"),
    [
        ("colbertv2", "colbertv2", "colbertv2"),
        ("BAAI/bge-reranker-base", "BAAI/bge-reranker-base", "BAAI/bge-reranker-base"),
        ("rerank-v3.5=colbertv2", "rerank-v3.5", "colbertv2"),
        (" rerank = colbertv2 ", "rerank", "colbertv2"),
        ("a=b=c", "a", "b=c"),
        ("cheap > strong", "cheap > strong", "cheap > strong"),
        ("both=cheap>strong", "both", "cheap>strong"),
    ],
)
def test_a_name_stands_before_the_sign(given, name, model):
    assert parse_name(given) == (name, model)


def test_a_folder_is_known_by_its_last_part(tmp_path, monkeypatch):
    folder = tmp_path / "secret" / "panda=v1"
    folder.mkdir(parents=True)
    assert parse_name(str(folder)) == ("panda=v1", str(folder))
    monkeypatch.chdir(folder)
    assert parse_name(".") == ("panda=v1", ".")
    assert parse_name(f"x={folder}") == ("x", str(folder))


def test_so_are_the_folders_of_a_cascade(tmp_path):
    for name in ("cheap", "strong"):
        (tmp_path / name).mkdir()
    model = f"{tmp_path}/cheap > {tmp_path}/strong"
    assert parse_name(model) == ("cheap>strong", model)
    assert parse_name(f"colbertv2>{tmp_path}/strong").name == "colbertv2>strong"


@pytest.mark.parametrize("given", ["", "  ", "=colbertv2", "name=", "name= "])
def test_nothing_on_one_side_is_refused(given):
    with pytest.raises(ValueError, match="must be a model or NAME=MODEL"):
        parse_name(given)


def test_what_is_no_string_is_refused(tmp_path):
    with pytest.raises(TypeError, match="must be a string"):
        parse_name(tmp_path)
