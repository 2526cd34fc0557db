from __future__ import annotations

import asyncio
import logging
import threading

import pytest

pytest.importorskip("fastapi")
from tests.server.apps import Overlap
from tests.stand_ins import Given

from rag_rerankers import ModelLoadError, ModelOptions, Reranker
from rag_rerankers.server import ServerSettings
from rag_rerankers.server.models import ServedModels, load_reranker
from rag_rerankers.server.problems import Problem


def served(*models, load=lambda model, settings: Reranker(Overlap())):
    return ServedModels(ServerSettings(models=models), load)


def refused(models, name) -> Problem:
    with pytest.raises(Problem) as caught:
        models.find(name)
    return caught.value


async def test_a_model_of_several_names_is_loaded_once():
    loaded = []

    def load(model, settings):
        loaded.append(model)
        return Reranker(Overlap())

    models = served("one=panda", "two=panda", "bear", load=load)
    await models.load()
    assert loaded == ["panda", "bear"]
    assert models.ready
    assert [model.name for model in models] == ["one", "two", "bear"]
    assert models.find("one").reranker is models.find("two").reranker
    assert models.find("bear").reranker is not models.find("one").reranker


async def test_what_is_loaded_stays_when_the_application_is_started_again():
    loaded = []

    def load(model, settings):
        loaded.append(model)
        if len(loaded) == 2:
            raise ModelLoadError("not this time")
        return Reranker(Overlap())

    models = served("first", "second", load=load)
    await models.load()
    assert not models.ready
    await models.load()
    assert models.ready
    assert models.error is None
    assert loaded == ["first", "second", "second"]


async def test_loading_leaves_the_event_loop_free():
    go = threading.Event()

    def load(model, settings):
        assert go.wait(20)
        return Reranker(Overlap())

    models = served("panda", load=load)
    loading = asyncio.create_task(models.load())
    await asyncio.sleep(0)
    assert not models.ready
    problem = refused(models, None)
    assert (problem.status, problem.message) == (503, "the model 'panda' is being loaded")
    assert problem.headers["Retry-After"] == "5"
    go.set()
    await loading
    assert models.ready


async def test_a_model_serves_while_others_are_loaded():
    go = threading.Event()

    def load(model, settings):
        assert model == "first" or go.wait(20)
        return Reranker(Overlap())

    models = served("first", "second", load=load)
    loading = asyncio.create_task(models.load())
    while not next(iter(models)).reranker:
        await asyncio.sleep(0)
    assert models.find(None).name == "first"
    assert not models.ready
    with pytest.raises(Problem, match="'second' is being loaded"):
        models.check()
    go.set()
    await loading
    models.check()


async def test_a_model_that_cannot_be_loaded_is_said_and_kept(caplog):
    caplog.set_level(logging.INFO, "rag_rerankers.server")

    def load(model, settings):
        if model == "second":
            raise ModelLoadError("no such model: second")
        return Reranker(Overlap())

    models = served("first", "second", "third", load=load)
    await models.load()
    assert not models.ready
    assert isinstance(models.error, ModelLoadError)
    assert models.find("first").reranker is not None
    problem = refused(models, "second")
    assert (problem.status, problem.headers) == (503, {})  # coming back is of no use
    assert problem.message == "the model 'second' could not be loaded"
    with pytest.raises(Problem, match="'second' could not be loaded"):
        models.check()
    said = [(record.levelname, record.message, record.model) for record in caplog.records]
    assert said == [("INFO", "model loaded", "first"), ("ERROR", "model failed", "second")]
    assert caplog.records[1].error == "no such model: second"


async def test_a_server_of_one_model_answers_to_every_name():
    models = served("panda")
    await models.load()
    for name in (None, "panda", "rerank-v3.5", "", "default/not-specified"):
        assert models.find(name).name == "panda"


async def test_a_server_of_several_knows_theirs_only():
    models = served("panda", "bear")
    await models.load()
    assert models.find(None).name == "panda"
    assert models.find("default/not-specified").name == "panda"
    assert models.find("bear").name == "bear"
    for name in ("rerank-v3.5", "", "Panda"):
        problem = refused(models, name)
        assert problem.status == 404
        assert problem.message == f"there is no model {name!r} here, but 'panda', 'bear'"
    assert len(refused(models, "x" * 10_000).message) < 200


async def test_what_a_model_is_can_be_read_off_its_scorer(make):
    length = make("xlmr_reranker")
    vectors = make("bert_encoder")
    options = ModelOptions(device="cpu", dtype="float32", max_length=64)
    settings = ServerSettings(
        models=(f"c={length}", f"l={vectors}", f"both={vectors}>{length}"), options=options, keep=3
    )
    models = ServedModels(settings)
    assert [model.kind for model in models] == ["loading"] * 3
    assert [model.max_length for model in models] == [None] * 3
    await models.load()
    assert models.error is None
    assert [model.kind for model in models] == ["cross-encoder", "late-interaction", "cascade"]
    assert [model.explains for model in models] == [False, True, False]
    assert [model.max_length for model in models] == [64, 64, 64]


async def test_a_scorer_of_ones_own_is_of_another_kind():
    models = served("panda", load=lambda model, settings: Reranker(Given(1.0)))
    await models.load()
    model = models.find(None)
    assert (model.kind, model.explains, model.max_length) == ("other", False, None)


def test_a_cascade_keeps_as_many_as_the_settings_say(make):
    model = f"{make('bert_encoder')}>{make('xlmr_reranker')}"
    for keep, kept in ((None, 15), (2, 2)):
        settings = ServerSettings(models=(model,), keep=keep)
        assert load_reranker(model, settings).scorer.keep == (kept,)
