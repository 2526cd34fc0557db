from __future__ import annotations

import json
import math

import pytest

pytest.importorskip("fastapi")
from starlette.requests import Request

from rag_rerankers.server.answers import Answer, refusal, say_as_tei
from rag_rerankers.server.problems import Problem


def test_half_a_surrogate_pair_is_written_as_it_came():
    answer = Answer({"text": "\ud800 大"})
    assert answer.body == rb'{"text":"\ud800 \u5927"}'
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("number", [math.inf, -math.inf, math.nan])
def test_what_json_cannot_say_is_not_said(number):
    with pytest.raises(ValueError, match="not JSON compliant"):
        Answer({"score": number})


def test_a_refusal_has_its_status_its_headers_and_the_words_of_its_dialect():
    request = Request({"type": "http", "headers": [], "state": {}})
    problem = Problem(503, "full", retry_after=2)
    answer = refusal(problem, request)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert json.loads(answer.body)["error"]["message"] == "full"
    say_as_tei(request)
    assert json.loads(refusal(problem, request).body)["error"] == "full"
