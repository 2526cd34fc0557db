from __future__ import annotations

import pytest

pytest.importorskip("fastapi")
from rag_rerankers.server.problems import Problem, as_body, shown

KINDS = {
    400: ("invalid_request_error", "Validation"),
    401: ("authentication_error", "Unauthorized"),
    404: ("not_found_error", "NotFound"),
    405: ("invalid_request_error", "Validation"),
    408: ("timeout_error", "Timeout"),
    413: ("request_too_large", "Validation"),
    415: ("invalid_request_error", "Validation"),
    421: ("invalid_request_error", "Validation"),
    500: ("server_error", "Backend"),
    503: ("overloaded_error", "Overloaded"),
    504: ("timeout_error", "Timeout"),
}


@pytest.mark.parametrize("status", KINDS)
def test_a_problem_speaks_in_both_shapes(status):
    kind, tei_kind = KINDS[status]
    problem = Problem(status, "so it is")
    assert as_body(problem) == {
        "message": "so it is",
        "detail": "so it is",
        "error": {"message": "so it is", "type": kind, "code": status},
    }
    assert as_body(problem, tei=True) == {
        "error": "so it is",
        "error_type": tei_kind,
        "message": "so it is",
        "detail": "so it is",
    }


@pytest.mark.parametrize("tei", [False, True])
def test_the_detail_of_a_422_is_a_list(tei):
    # infinity's client walks through it, and only through that of a 422.
    assert as_body(Problem(422, "no"), tei=tei)["detail"] == [
        {"loc": ["body"], "msg": "no", "type": "value_error"}
    ]
    fields = [{"loc": ["body", "query"], "msg": "Field required", "type": "missing"}]
    assert as_body(Problem(422, "no", fields=fields), tei=tei)["detail"] == fields


def test_headers_say_what_to_do():
    assert Problem(400, "no").headers == {}
    assert Problem(401, "no", close=True).headers == {
        "WWW-Authenticate": "Bearer",
        "Connection": "close",
    }


@pytest.mark.parametrize(("seconds", "header"), [(0.1, "1"), (1, "1"), (1.2, "2"), (60.0, "60")])
def test_retry_after_is_whole_seconds_and_never_none(seconds, header):
    assert Problem(503, "no", retry_after=seconds).headers == {"Retry-After": header}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (-1.5, "-1.5"),
        (10**60, "1" + "0" * 39),
        ("a whole text", "a string"),
        ([1], "an array"),
        ({}, "an object"),
    ],
)
def test_values_are_shown_but_texts_are_not(value, text):
    assert shown(value) == text
