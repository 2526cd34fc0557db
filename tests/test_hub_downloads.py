from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from rag_rerankers import (
    ModelLoadError,
    ModelOptions,
)
from rag_rerankers.hub import resolve

DEFAULT = ModelOptions()


LOCAL = ModelOptions(local_files_only=True)


COMMIT = "0123456789abcdef0123456789abcdef01234567"


# --- what is downloaded ---


class Hub:
    """Stands in for snapshot_download: a repository in a folder."""

    def __init__(self, repository: Path, target: Path) -> None:
        self.repository = repository
        self.target = target
        self.calls: list[dict] = []

    def __call__(self, repo, *, allow_patterns, ignore_patterns, **settings):
        from huggingface_hub.utils import filter_repo_objects

        self.calls.append({"repo": repo, **settings})
        names = [
            str(path.relative_to(self.repository))
            for path in sorted(self.repository.rglob("*"))
            if path.is_file()
        ]
        for name in filter_repo_objects(
            names, allow_patterns=allow_patterns, ignore_patterns=ignore_patterns
        ):
            (self.target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.repository / name, self.target / name)
        return str(self.target)

    def got(self) -> set[str]:
        files = (path for path in self.target.rglob("*") if path.is_file())
        return {str(path.relative_to(self.target)) for path in files}


@pytest.fixture
def repository(tmp_path, make, monkeypatch):
    def serve(maker: str, **settings) -> Hub:
        folder = tmp_path / "repository"
        shutil.copytree(make(maker, **settings), folder)
        (tmp_path / "got").mkdir()
        served = Hub(folder, tmp_path / "got")
        monkeypatch.setattr("huggingface_hub.snapshot_download", served)
        return served

    return serve


def test_safetensors_are_preferred_and_other_runtimes_stay_on_the_hub(repository):
    served = repository("xlmr_reranker")
    extra = ["pytorch_model.bin", "onnx/model.onnx", "openvino/model.json", "README.md", "run.py"]
    for name in [*extra, "flax_model.msgpack", "tf_model.h5"]:
        (served.repository / name).parent.mkdir(exist_ok=True)
        (served.repository / name).write_bytes(b"gigabytes")
    resolve("someone/model", DEFAULT)
    assert "model.safetensors" in served.got()
    assert "tokenizer.json" in served.got()
    assert not served.got() & {*extra, "flax_model.msgpack", "tf_model.h5"}


@pytest.mark.parametrize(
    ("maker", "needed"),
    [
        ("xlmr_reranker", {"pytorch_model.bin", "config.json", "tokenizer.json"}),
        ("stanford_colbert", {"pytorch_model.bin", "artifact.metadata"}),
        ("pylate_colbert", {"pytorch_model.bin", "1_Dense/pytorch_model.bin", "modules.json"}),
    ],
)
def test_bin_weights_are_fetched_where_there_is_nothing_better(repository, maker, needed):
    served = repository(maker, weights="bin")
    resolve("someone/model", DEFAULT)
    assert needed <= served.got()


def test_a_safetensors_head_does_not_hide_bin_weights_of_the_body(repository):
    """Old embedding models whose projection was saved later, in the new format."""
    served = repository("pylate_colbert", weights="bin")
    dense = served.repository / "1_Dense"
    (dense / "pytorch_model.bin").unlink()
    (dense / "model.safetensors").write_bytes(b"a projection")
    resolve("someone/model", DEFAULT)
    assert {"pytorch_model.bin", "1_Dense/model.safetensors"} <= served.got()


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        (DEFAULT, {"revision": None, "local_files_only": False}),
        (ModelOptions(revision="v3"), {"revision": "v3", "local_files_only": False}),
        (LOCAL, {"revision": None, "local_files_only": True}),
    ],
    ids=["default", "revision", "local"],
)
def test_the_hub_is_asked_for_what_the_options_say(repository, options, asked):
    served = repository("xlmr_reranker")
    resolve("someone/model", options)
    assert served.calls[0] == {"repo": "someone/model", **asked}


def refusal(name: str) -> Exception:
    """One of the hub's own errors; their constructors differ between its versions."""
    from huggingface_hub import errors

    kind = getattr(errors, name)
    made: Exception = kind.__new__(kind)
    made.args = ("the hub says no",)
    return made


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("GatedRepoError", "gated: accept its terms on the hub and set HF_TOKEN"),
        ("RevisionNotFoundError", "has no revision 'v9'"),
        ("RepositoryNotFoundError", "there is no model 'someone/model'"),
        ("HFValidationError", "there is no model 'someone/model'"),
    ],
)
def test_what_the_hub_refuses_is_told_in_our_words(monkeypatch, name, told):
    def refuse(*_, **__):
        raise refusal(name)

    monkeypatch.setattr("huggingface_hub.snapshot_download", refuse)
    with pytest.raises(ModelLoadError) as caught:
        resolve("someone/model", ModelOptions(revision="v9"))
    assert told in str(caught.value)
