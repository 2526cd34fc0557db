from __future__ import annotations

from pathlib import Path

import pytest
from tests.stand_ins import Given, Length

from rag_rerankers import ModelLoadError, ModelOptions, Reranker
from rag_rerankers.evaluation.systems import candidates

SHARED = ModelOptions(device="cpu", max_length=99)


@pytest.mark.parametrize(
    ("written", "model", "options"),
    [
        ("minilm-maxsim", "minilm-maxsim", {}),
        ("minilm-maxsim,dtype=float32", "minilm-maxsim", {"dtype": "float32"}),
        ("org/name,max_length=180", "org/name", {"max_length": 180}),
        ("a, dtype=float16 , device=cuda:1", "a", {"dtype": "float16", "device": "cuda:1"}),
        ("a,local_files_only=true", "a", {"local_files_only": True}),
        ("a,local_files_only=false", "a", {"local_files_only": False}),
        ("a,max_length=null,batch_tokens=7", "a", {"max_length": None, "batch_tokens": 7}),
        ("a,long_documents=max_passage", "a", {"long_documents": "max_passage"}),
        ("a,revision=v1=2", "a", {"revision": "v1=2"}),
        ("a,dtype=float32,dtype=float16", "a", {"dtype": "float16"}),
    ],
)
def test_a_string_carries_options(written, model, options):
    (one,) = candidates([written])
    assert (one.name, one.model, one.options) == (written, model, ModelOptions(**options))


@pytest.mark.parametrize("revision", ["2024051", "12e4567"])
def test_a_revision_is_text_whatever_it_looks_like(revision):
    (one,) = candidates([f"a,revision={revision}"])
    assert one.options.revision == revision


def test_options_of_a_string_win_over_those_of_all():
    plain, own = candidates(["a", "b,max_length=5"], SHARED)
    assert plain.options == SHARED
    assert own.options == ModelOptions(device="cpu", max_length=5)


def test_a_path_is_a_path_whatever_its_name_holds():
    (one,) = candidates([Path("models/a,dtype=float32")], SHARED)
    assert one.name == str(Path("models/a,dtype=float32"))
    assert (one.model, one.options) == (Path("models/a,dtype=float32"), SHARED)


def test_a_folder_is_called_by_its_own_name(tmp_path):
    for name in ("one", "two"):
        (tmp_path / "models" / name).mkdir(parents=True)
    one, two = tmp_path / "models" / "one", tmp_path / "models" / "two"
    found = candidates([f"{one},dtype=float32", two, "org/hub"])
    assert [found_one.name for found_one in found] == ["one,dtype=float32", "two", "org/hub"]
    assert [found_one.model for found_one in found] == [str(one), two, "org/hub"]


def test_folders_of_one_name_are_called_by_their_paths(tmp_path):
    folders = [tmp_path / name / "model" for name in ("one", "two")]
    for folder in folders:
        folder.mkdir(parents=True)
    assert [one.name for one in candidates(folders)] == [str(folder) for folder in folders]


def test_a_mapping_gives_names():
    found = candidates({"small": "m,dtype=float32", "same": "m,dtype=float32", "mine": Length()})
    assert [one.name for one in found] == ["small", "same", "mine"]
    assert found[0].model == found[1].model == "m"
    assert found[0].options.dtype == "float32"


def test_ready_models_are_named_after_themselves_and_keep_their_options():
    scorer, reranker = Given(1.0), Reranker(Length())
    found = candidates([scorer, reranker], SHARED)
    assert [one.name for one in found] == ["Given", "Length"]
    assert [one.options for one in found] == [ModelOptions(), ModelOptions()]
    assert found[0].load().scorer is scorer
    assert found[1].load() is reranker


def test_a_name_or_folder_is_loaded_with_its_options(make):
    folder = make("bert_reranker")
    for written in (f"{folder},max_length=77", folder):
        (one,) = candidates([written], ModelOptions(device="cpu", dtype="float32", max_length=66))
        reranker = one.load()
        assert isinstance(reranker, Reranker)
        assert reranker.options == one.options
        assert reranker.scorer.max_length == (66 if written is folder else 77)


def test_a_model_that_is_not_there_is_told_when_it_is_loaded(tmp_path):
    (one,) = candidates([tmp_path / "nothing"], ModelOptions(local_files_only=True))
    with pytest.raises(ModelLoadError, match="nothing"):
        one.load()


@pytest.mark.parametrize(
    "models",
    [
        ["a", "b", "a"],
        ["a,dtype=float32"] * 2,
        [Length(), Length()],
        [Length(), Reranker(Length())],
    ],
    ids=str,
)
def test_two_models_of_one_name_are_refused(models):
    name = models[0] if isinstance(models[0], str) else "Length"
    with pytest.raises(ValueError, match="give a mapping of names to models") as caught:
        candidates(models)
    assert f"two models are called {name!r}" in str(caught.value)


@pytest.mark.parametrize("written", ["colour=red", "dtype", "=float32", "", "Dtype=float32"])
def test_an_unknown_option_is_named_with_the_known_ones(written):
    with pytest.raises(ValueError, match="known are device, dtype, max_length") as caught:
        candidates([f"model,{written}"])
    assert str(caught.value).startswith(f"{written!r} in 'model,{written}' is not an option")


@pytest.mark.parametrize("written", ["dtype=int4", "max_length=0", "long_documents=drop"])
def test_a_value_out_of_range_is_refused_before_anything_is_loaded(written):
    with pytest.raises(ValueError, match=written.split("=")[0]):
        candidates([f"model,{written}"])


def test_a_cascade_is_written_with_its_keep():
    written = ["a>b", "a > b, keep=7", "org/a>b>c,dtype=float32,keep=2"]
    found = candidates(written, SHARED)
    assert [one.keep for one in found] == [15, 7, 2]
    assert [one.options.dtype for one in found] == ["auto", "auto", "float32"]
    assert all(one.options.max_length == 99 for one in found)


def test_a_cascade_is_loaded_and_named_by_its_folders(make):
    cheap, strong = make("bert_encoder"), make("bert_reranker")
    (one,) = candidates([f"{cheap}>{strong},max_length=77,keep=3"], ModelOptions(device="cpu"))
    assert one.name == f"{cheap.name}>{strong.name},max_length=77,keep=3"
    reranker = one.load()
    assert reranker.name == f"{cheap} > {strong} (3)"
    assert [stage.scorer.max_length for stage in reranker.model] == [77, 77]


def test_a_folder_whose_name_holds_the_sign_is_a_folder(tmp_path):
    (tmp_path / "a>b").mkdir()
    (one,) = candidates([str(tmp_path / "a>b")])
    assert (one.name, one.keep) == ("a>b", None)


@pytest.mark.parametrize("value", ["0", "-1", "x", "", "1.5"])
def test_a_bad_keep_is_named(value):
    with pytest.raises(ValueError, match="is not a value of keep") as caught:
        candidates([f"a>b,keep={value}"])
    assert str(caught.value).startswith(f"{value!r} in 'a>b,keep={value}'")


def test_a_single_model_has_no_keep():
    with pytest.raises(ValueError, match="'keep=3' in 'a,keep=3' is not an option"):
        candidates(["a,keep=3"])


def test_no_models_are_no_candidates():
    assert candidates([]) == candidates({}) == []
