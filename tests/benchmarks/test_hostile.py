"""Attacks are the same for the same seed, and what is wrong with an answer is seen."""

from __future__ import annotations

import json

import pytest

from benchmarks.hostile.attacks import attacks
from benchmarks.hostile.bodies import BODIES, KNOWN
from benchmarks.hostile.verdict import complaint, differs, failures, without_chance
from benchmarks.hostile.wire import Answer, Attack, Outcome


class NoNumberError(Exception):
    pass


def refuse(name):
    raise NoNumberError(name)


def came(*answers, end="done"):
    return Outcome(tuple(answers), end, 0.1)


def test_the_same_seed_makes_the_same_attacks():
    assert list(attacks(200, 3)) == list(attacks(200, 3))
    assert list(attacks(200, 3)) != list(attacks(200, 4))


def test_every_kind_of_body_comes_up():
    kinds = {one.kind for one in attacks(2000, 0)}
    assert set(BODIES) <= kinds


def test_what_is_said_to_be_no_json_is_none():
    for one in attacks(1500, 1):
        if one.kind in ("broken JSON", "encodings", "numbers") and one.never == 200:
            body = one.parts[0].partition(b"\r\n\r\n")[2]
            with pytest.raises((json.JSONDecodeError, UnicodeDecodeError, NoNumberError)):
                json.loads(body.decode(), parse_constant=refuse)


@pytest.mark.parametrize(
    ("attack", "outcome", "wrong"),
    [
        (Attack("a", ()), came(Answer(200, b"{}")), None),
        (Attack("a", ()), came(Answer(503, b"")), None),
        (Attack("a", ()), came(end="closed"), None),
        (Attack("a", (), answered=True), came(end="closed"), "without an answer"),
        (Attack("a", ()), came(end="hung"), "no answer"),
        (Attack("a", ()), came(Answer(500, b"")), "status 500"),
        (Attack("a", ()), came(Answer(400, b""), Answer(502, b"")), "status 502"),
        (Attack("a", (), never=200), came(Answer(200, b"")), "was wrong"),
        (Attack("a", (), must=200), came(Answer(400, b"")), "instead of 200"),
        (Attack("a", (), must=200), came(Answer(503, b"")), None),
        (Attack("a", ()), came(Answer(400, b'File "/x.py"')), "nobody's business"),
        (Attack("a", ()), came(Answer(200, b"", whole=False)), "half an answer"),
        (Attack("a", ()), came(Answer(0, b"junk", whole=False)), "no HTTP"),
        (Attack("a", (), exact="/r"), came(Answer(200, b'{"score": 1.0, "id": "x"}')), None),
        (Attack("a", (), exact="/r"), came(Answer(200, b'{"score": 1.1}')), "score"),
    ],
)
def test_verdicts(attack, outcome, wrong):
    found = complaint(attack, outcome, {"/r": {"score": 1.0}})
    assert (found is None) if wrong is None else (wrong in found)


def test_differences_are_found_where_they_are():
    one = {"results": [{"index": 0, "score": 0.5}]}
    assert differs(one, one) is None
    assert differs(one, {"results": []}) == ".results had 1 items and has 0"
    assert differs(one, {"results": [{"index": 1, "score": 0.5}]}).startswith(".results[0].index")
    near = {"results": [{"index": 0, "score": 0.50001}]}
    assert differs(one, near, tolerance=1e-4) is None
    assert differs(one, near).startswith(".results[0].score")
    assert differs([1], [True]) == "[0] was 1 and is True"


def test_ids_and_times_are_no_difference():
    assert without_chance(b'{"id": "a", "created": 1, "seconds": 2, "hits": []}') == {"hits": []}


def test_failures_that_metrics_count():
    metrics = (
        b'requests_total{route="/rerank",status="200"} 7.0\n'
        b'requests_total{route="/rerank",status="500"} 2.0\n'
        b'requests_total{route="/score",status="503"} 4.0\n'
        b'requests_created{route="/rerank",status="500"} 1.7e+09\n'
    )
    assert failures(metrics) == 2


def test_known_requests_are_for_every_route_that_ranks():
    assert {"/rerank", "/v1/rerank", "/v2/rerank", "/score", "/rank", "/explain"} <= set(KNOWN)
