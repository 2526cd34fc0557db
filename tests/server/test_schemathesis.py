"""Every route answers as the description says, to what it allows and to what it does not."""

from __future__ import annotations

import time

import pytest
from hypothesis import HealthCheck, settings
from tests.stand_ins import Length

from rag_rerankers import Reranker

schemathesis = pytest.importorskip(
    "schemathesis", reason="pip install -r tests/requirements-clients.txt"
)
pytest.importorskip("fastapi")
from schemathesis.specs.openapi import checks  # noqa: E402

from rag_rerankers.server import ServerSettings, create_app  # noqa: E402

# A description cannot say that an object needs the fields that another field names; and the
# server takes "true" where it asks for true, as other servers' clients send it.
NOT_SAID = (checks.positive_data_acceptance, checks.negative_data_rejection)


@pytest.fixture(scope="module")
def described(make):
    encoder = make("bert_encoder")

    def load(model, _):
        return Reranker(Length()) if model == "any" else Reranker(encoder, dtype="float32")

    app = create_app(ServerSettings(models=("tiny=encoder", "length=any")), load=load)
    schema = schemathesis.openapi.from_asgi("/openapi.json", app)  # starts it
    until = time.monotonic() + 60
    while not app.state.service.ready:
        assert time.monotonic() < until, app.state.service.models.error
        time.sleep(0.01)
    return schema


schema = schemathesis.pytest.from_fixture("described")


@schema.parametrize()
@settings(
    max_examples=30,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
def test_it_answers_as_it_is_described(case):
    case.call_and_validate(excluded_checks=NOT_SAID)
