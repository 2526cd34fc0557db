from __future__ import annotations

import codecs

import pytest

pytest.importorskip("fastapi")
from rag_rerankers.server.keys import Keys, check_keys, read_keys

FIRST, SECOND = "correct horse battery", "staple-0123"


@pytest.mark.parametrize(
    ("header", "opens"),
    [
        (f"Bearer {FIRST}", True),
        (f"Bearer {SECOND}", True),
        (f"bearer {FIRST}", True),
        (f"BEARER   {FIRST}  ", True),
        (FIRST, True),
        (SECOND, True),
        ("Bearer wrong-wrong", False),
        (f"Bearer {FIRST}x", False),
        (f"Bearer {FIRST[:-1]}", False),
        (f"Bearer {FIRST.upper()}", False),
        (f"Basic {FIRST}", False),
        ("Bearer", False),
        ("Bearer ", False),
        ("", False),
        (None, False),
        ("Bearer gr\u00fc\u00df \ud800", False),
    ],
)
def test_every_key_opens_and_nothing_else(header, opens):
    assert Keys([FIRST, SECOND]).open_for(header) is opens


@pytest.mark.parametrize("header", [None, "", "Bearer None", "Bearer fake-api-key", "junk"])
def test_without_keys_it_is_open_whatever_a_client_sends(header):
    keys = Keys([])
    assert not keys
    assert keys.open_for(header)


@pytest.mark.parametrize("header", [f"Bearer {FIRST}", f"Bearer {SECOND}", "Bearer x", None])
def test_all_keys_are_compared_in_constant_time(monkeypatch, header):
    compared = []
    monkeypatch.setattr(
        "hmac.compare_digest", lambda left, right: compared.append((left, right)) or left == right
    )
    Keys([FIRST, SECOND]).open_for(header)
    assert len(compared) == 2
    # Of one length whatever the keys': the time of a comparison tells no length.
    assert {len(part) for pair in compared for part in pair} == {32}


def test_nothing_that_can_be_shown_holds_a_key():
    keys = Keys([FIRST])
    assert FIRST not in repr(keys) + str(vars(keys))


def read(tmp_path, content: bytes):
    path = tmp_path / "keys"
    path.write_bytes(content)
    return read_keys(path)


@pytest.mark.parametrize(
    "content",
    [
        b"correct horse battery\nstaple-0123\n",
        b"correct horse battery\r\nstaple-0123",
        b"# the first\n\n  correct horse battery  \n  # the second\nstaple-0123\n\n",
        codecs.BOM_UTF8 + b"correct horse battery\nstaple-0123\n",
        codecs.BOM_UTF8 + "# Schlüssel\ncorrect horse battery\nstaple-0123".encode(),
    ],
)
def test_a_file_holds_a_key_a_line(tmp_path, content):
    assert read(tmp_path, content) == (FIRST, SECOND)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no API key: write one a line"),
        (b"\n# nothing\n  \n", "holds no API key"),
        (b"good-enough\nshort", "API key 2 has 5 characters: use 8 or more"),
        ("good-enough\nschlüssel-eins".encode(), "API key 2 cannot be sent in a header"),
        (b"good\x07enough", "API key 1 cannot be sent in a header"),
        (b"\xff\xfes\x00e\x00c\x00r\x00e\x00t\x00", "is not UTF-8 text"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused(tmp_path, content, message):
    with pytest.raises(ValueError, match=message) as caught:
        read(tmp_path, content)
    for word in ("good", "short", "eins"):
        assert word not in str(caught.value)
    # Python shows the chain: no link of it may hold a key.
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None or caught.value.__suppress_context__


def test_a_file_that_is_not_there_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_keys(tmp_path / "none")


@pytest.mark.parametrize("keys", ["one long string", [b"bytes-bytes"], [None]])
def test_what_is_no_list_of_strings_is_refused_without_being_shown(keys):
    with pytest.raises(TypeError) as caught:
        check_keys(keys)
    assert "one long" not in str(caught.value)
    assert "bytes-bytes" not in str(caught.value)


def test_eight_characters_are_a_key():
    assert check_keys(["12345678"]) == ("12345678",)
    with pytest.raises(ValueError, match="API key 1 has 7 characters"):
        check_keys(["1234567"])
