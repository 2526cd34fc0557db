from __future__ import annotations

import dataclasses
import math
import pickle

import pytest

pytest.importorskip("fastapi")
from rag_rerankers import ModelOptions
from rag_rerankers.server import ServerSettings


def test_a_server_of_the_embedded_model_needs_no_settings():
    settings = ServerSettings()
    assert settings.served() == [("minilm-maxsim", "minilm-maxsim")]
    assert settings.options == ModelOptions()
    assert settings.api_keys == ()
    assert settings.playground


def test_they_are_frozen_and_survive_a_pickle():
    settings = ServerSettings(models=["a", "b=c"], api_keys=["long enough"], timeout=1)
    assert pickle.loads(pickle.dumps(settings)) == settings
    assert settings.models == ("a", "b=c")
    assert settings.served() == [("a", "a"), ("b", "c")]
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.timeout = 2


def test_a_repr_tells_no_key():
    assert "long enough" not in repr(ServerSettings(api_keys=("long enough",)))


COUNTS = ("max_body_bytes", "max_documents", "max_tokens", "max_queue", "max_queue_tokens")


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"models": ()}, ValueError, "at least one model, not ()"),
        ({"models": "minilm-maxsim"}, ValueError, "not 'minilm-maxsim'"),
        ({"models": ("a", "a=b")}, ValueError, "two models are named 'a'"),
        ({"models": (3,)}, TypeError, "not 3"),
        ({"api_keys": ("short",)}, ValueError, "API key 1 has 5 characters"),
        ({"timeout": 0}, ValueError, "timeout must be more than 0 seconds, not 0"),
        ({"timeout": math.inf}, ValueError, "not inf"),
        ({"timeout": math.nan}, ValueError, "not nan"),
        ({"timeout": "5"}, TypeError, "timeout must be a number of seconds, not '5'"),
        ({"body_timeout": True}, TypeError, "not True"),
        *(({name: 0}, ValueError, f"{name} must be at least 1, not 0") for name in COUNTS),
        *(({name: 1.5}, TypeError, f"{name} must be an int, not 1.5") for name in COUNTS),
        *(({name: True}, TypeError, f"{name} must be an int, not True") for name in COUNTS),
    ],
    ids=str,
)
def test_mistakes_are_refused_with_the_value(given, error, message):
    with pytest.raises(error) as caught:
        ServerSettings(**given)
    assert message in str(caught.value)
