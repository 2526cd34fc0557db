"""Every route answers as the description says, to what it allows and to what it does not."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from tests.stand_ins import Length

from rag_rerankers import Reranker

schemathesis = pytest.importorskip(
    "schemathesis", reason="pip install -r tests/requirements-clients.txt"
)
pytest.importorskip("fastapi")
from schemathesis.checks import not_a_server_error  # noqa: E402
from schemathesis.python import asgi  # noqa: E402
from schemathesis.specs.openapi import checks  # noqa: E402

from rag_rerankers.server import ServerSettings, create_app  # noqa: E402

# 503 and 504 are answers too. A description cannot say that an object needs the fields that another
# field names; and the server takes "true" where it asks for true, as others' clients send it.
NOT_CHECKED = (
    not_a_server_error,
    checks.positive_data_acceptance,
    checks.negative_data_rejection,
)

MODELS: dict[str, Reranker] = {}

app = create_app(
    ServerSettings(models=("tiny=tiny", "length=length")), load=lambda model, _: MODELS[model]
)
schema = schemathesis.openapi.from_dict(app.openapi())
schema.app = app


@pytest.fixture(scope="module")
def models(make):
    """Of two kinds: one explains."""
    return {
        "tiny": Reranker(make("bert_encoder"), device="cpu", dtype="float32"),
        "length": Reranker(Length()),
    }


@pytest.fixture(autouse=True)
def started(models):
    """The application, ready: schemathesis stops it after each route."""
    MODELS.update(models)
    with asgi.get_client(app) as client:
        while not app.state.service.ready:
            client.get("/health/ready")


@schema.parametrize()
@settings(
    max_examples=30,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@pytest.mark.filterwarnings("ignore::rag_rerankers.TruncationWarning")
def test_it_answers_as_it_is_described(case):
    answer = case.call_and_validate(excluded_checks=NOT_CHECKED)
    assert answer.status_code < 500 or answer.status_code in (503, 504)
    if answer.status_code == 503:
        assert "loaded" in answer.text, "it was started a moment ago"
