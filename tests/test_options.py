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
    "on_failure": "raise",
    "api_key": None,
    "timeout": None,
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
    "on_failure": "keep_order",
    "api_key": "k3y",
    "timeout": 2.5,
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
        ("on_failure", "ignore", ValueError, "raise, keep_order, not 'ignore'"),
        ("on_failure", None, ValueError, "None"),
        ("timeout", 0, ValueError, "above 0"),
        ("timeout", -1.0, ValueError, "-1.0"),
        ("timeout", float("nan"), ValueError, "nan"),
        ("timeout", "5", TypeError, "'5'"),
        ("timeout", True, TypeError, "True"),
        ("api_key", 5, TypeError, "not int"),
        ("api_key", "", ValueError, "empty"),
        ("api_key", "k3\ny", ValueError, "line break"),
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


def test_a_key_is_compared_and_not_shown():
    assert ModelOptions(api_key="k3y") != ModelOptions()
    assert "k3y" not in repr(ModelOptions(api_key="k3y"))
    with pytest.raises(ValueError, match="api_key") as caught:
        ModelOptions(api_key="k3y\n")
    assert "k3y" not in str(caught.value)


def test_what_a_ready_scorer_does_not_ignore_is_allowed():
    options = ModelOptions(on_failure="keep_order", device="cpu")
    with pytest.raises(ValueError, match=r"^device cannot be set"):
        options.refuse_unless_default({}, allowed=("on_failure",))


LOCAL = {name for name in OTHERS if name not in {"on_failure", "api_key", "timeout"}}


@pytest.mark.parametrize("name", OTHERS)
def test_each_option_is_for_a_server_or_for_a_local_model_or_for_both(name):
    options = ModelOptions(**{name: OTHERS[name]})
    for refuse, refused in (
        (options.refuse_for_server, LOCAL),
        (options.refuse_for_local, {"api_key", "timeout"}),
    ):
        if name in refused:
            with pytest.raises(ValueError, match=name):
                refuse("x")
        else:
            refuse("x")


def test_options_are_divided_among_the_stages_of_a_cascade():
    options = ModelOptions(**OTHERS)
    assert options.only_for(server=True) == ModelOptions(api_key="k3y", timeout=2.5)
    local = options.only_for(server=False)
    assert local == ModelOptions(**{name: OTHERS[name] for name in LOCAL})
