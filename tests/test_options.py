from __future__ import annotations

import dataclasses
import pickle

import pytest
import torch

from rag_rerankers import ModelOptions

DEFAULTS = {
    "device": "auto",
    "dtype": "auto",
    "max_length": None,
    "revision": None,
    "long_documents": "truncate",
    "batch_tokens": None,
    "local_files_only": False,
    "store": None,
}
OTHERS = {
    "device": "cpu",
    "dtype": "float32",
    "max_length": 128,
    "revision": "main",
    "long_documents": "max_passage",
    "batch_tokens": 40,
    "local_files_only": True,
    "store": "tokens",
}


def test_defaults_are_those_of_the_documentation():
    assert ModelOptions().as_kwargs() == DEFAULTS


def test_options_are_a_frozen_key():
    one, same, other = ModelOptions(**OTHERS), ModelOptions(**OTHERS), ModelOptions()
    assert one == same != other
    assert {one: "a", same: "b", other: "c"} == {one: "b", other: "c"}
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.device = "cuda"


def test_options_survive_pickling_and_keywords():
    options = ModelOptions(**OTHERS)
    assert options.as_kwargs() == OTHERS
    assert pickle.loads(pickle.dumps(options)) == options


@pytest.mark.parametrize("dtype", ["auto", "float32", "bfloat16", "float16"])
def test_known_dtypes_are_taken(dtype):
    assert ModelOptions(dtype=dtype).dtype == dtype


@pytest.mark.parametrize(
    ("name", "value", "error", "told"),
    [
        ("dtype", "fp16", ValueError, "'fp16'"),
        ("dtype", torch.float32, ValueError, "torch.float32"),
        ("dtype", None, ValueError, "None"),
        ("long_documents", "chunk", ValueError, "truncate, max_passage, not 'chunk'"),
        ("long_documents", None, ValueError, "None"),
        ("max_length", 0, ValueError, "at least 1, not 0"),
        ("max_length", -5, ValueError, "-5"),
        ("max_length", 512.0, TypeError, "512.0"),
        ("max_length", "512", TypeError, "'512'"),
        ("max_length", True, TypeError, "True"),
        ("batch_tokens", 0, ValueError, "at least 1, not 0"),
        ("batch_tokens", 1.5, TypeError, "1.5"),
        ("device", 0, TypeError, "cuda:0"),
        ("device", torch.device("cpu"), TypeError, "string"),
        ("device", None, TypeError, "None"),
        ("revision", 1, TypeError, "1"),
    ],
)
def test_what_no_model_could_take_is_refused_with_its_name_and_value(name, value, error, told):
    with pytest.raises(error, match=name) as caught:
        ModelOptions(**{name: value})
    assert told in str(caught.value)


@pytest.mark.parametrize("name", OTHERS)
def test_options_that_a_ready_scorer_would_ignore_are_refused_by_name(name):
    with pytest.raises(ValueError, match=rf"^{name} cannot be set for a ready \w+ \(dict\)"):
        ModelOptions(**{name: OTHERS[name]}).refuse_unless_default({})


def test_several_ignored_options_are_all_named():
    with pytest.raises(ValueError, match=r"^device, max_length cannot be set"):
        ModelOptions(device="cpu", max_length=7).refuse_unless_default(object())


def test_default_options_fit_any_ready_scorer():
    ModelOptions().refuse_unless_default(object())
