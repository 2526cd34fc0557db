from __future__ import annotations

import base64

import pytest

from rag_rerankers.remote.endpoint import is_url, parse_endpoint, shown


@pytest.mark.parametrize("name", ["http://h", "https://h:1/v1", "HTTP://H", "http://"])
def test_urls_are_recognised(name):
    assert is_url(name)


@pytest.mark.parametrize(
    "name", ["bge-reranker-v2-m3", "a/b", "./http", "httpx", "ftp://h", " http://h"]
)
def test_other_names_are_not(name):
    assert not is_url(name)
    assert shown(name) == name


@pytest.mark.parametrize(
    ("url", "base", "root", "full"),
    [
        ("http://h:8080", "http://h:8080", "http://h:8080", False),
        ("http://h:8080/", "http://h:8080", "http://h:8080", False),
        ("HTTP://Host", "http://host", "http://host", False),
        ("https://h/prefix/", "https://h/prefix", "https://h/prefix", False),
        ("https://h/v1", "https://h/v1", "https://h", False),
        ("https://h/a/v2", "https://h/a/v2", "https://h/a", False),
        ("https://h/v2/rerank", "https://h/v2/rerank", "https://h", True),
        ("https://h/rerank", "https://h/rerank", "https://h", True),
        ("https://h/a/rank", "https://h/a/rank", "https://h/a", True),
        ("https://h/franks/rank", "https://h/franks/rank", "https://h/franks", True),
        ("https://h/myrerank", "https://h/myrerank", "https://h/myrerank", False),
        ("http://[::1]:80/x", "http://[::1]:80/x", "http://[::1]:80/x", False),
    ],
)
def test_a_path_is_a_base_or_what_is_asked(url, base, root, full):
    endpoint = parse_endpoint(url)
    assert (endpoint.base, endpoint.root, endpoint.full) == (base, root, full)


def test_the_fragment_names_the_model():
    assert parse_endpoint("http://h#BAAI/bge-reranker-v2-m3").model == "BAAI/bge-reranker-v2-m3"
    assert parse_endpoint("http://h#a%20b").model == "a b"
    assert parse_endpoint("http://h").model is None
    assert parse_endpoint("http://h#").model is None


@pytest.mark.parametrize(
    ("key", "fallback", "header"),
    [("k", None, "Bearer k"), (None, "f", "Bearer f"), ("k", "f", "Bearer k"), (None, None, None)],
)
def test_the_key_becomes_a_bearer_token(key, fallback, header):
    assert parse_endpoint("http://h", key, fallback).authorization == header


def test_a_user_becomes_basic_authentication_before_the_fallback():
    # "Aladdin:open sesame" is the example of RFC 7617.
    endpoint = parse_endpoint("http://Aladdin:open%20sesame@h", None, "fallback")
    assert endpoint.authorization == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
    assert endpoint.base == "http://h"


def test_a_user_and_a_key_are_one_too_many():
    with pytest.raises(ValueError, match="give one of them") as caught:
        parse_endpoint("http://me:hidden@h", "key")
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["http://", "https:///x", "http://me:hidden@:80", "http://me:hidden@h:port", "http://me:hidden@h:99999",
     "http://me:hidden@h x/", "http://me:hidden@[::1", "http://h\\x"],
)  # fmt: skip
def test_what_is_no_url_is_refused_without_its_password(url):
    with pytest.raises(ValueError, match="not the URL of a server") as caught:
        parse_endpoint(url)
    assert "hidden" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_query_is_refused_without_being_shown():
    with pytest.raises(ValueError, match="has a query") as caught:
        parse_endpoint("https://h/rerank?key=hidden")
    assert "hidden" not in str(caught.value)


def test_secrets_are_neither_in_the_repr_nor_in_what_is_cleaned():
    endpoint = parse_endpoint("http://me:hid%64en@h")
    assert "hidden" not in repr(endpoint)
    assert endpoint.clean(f"no hidden, no {endpoint.authorization}") == "no ***, no Basic ***"
    assert "k3y" not in repr(parse_endpoint("http://h", "k3y"))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("http://u:p@h/x", "http://h/x"),
        ("http://u:p%40@h:80/x@y#m", "http://h:80/x@y#m"),
        ("https://h?k=p", "https://h"),
        ("http://u:p@h/#m", "http://h/#m"),
        ("http://u:p#m", "http://u:p#m"),
    ],
)
def test_what_is_shown_of_a_url(name, expected):
    assert shown(name) == expected


@pytest.mark.parametrize(
    ("url", "pair"),
    [("http://ann@h", b"ann:"), ("http://:pw@h", b":pw"), ("http://ann:pw@h", b"ann:pw")],
)
def test_a_user_or_a_password_alone_is_basic_authentication_too(url, pair):
    endpoint = parse_endpoint(url, None, "the-environments-key")
    assert endpoint.authorization == f"Basic {base64.b64encode(pair).decode()}"
