"""Where a server is: its URL taken apart, with what must not be shown kept apart."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit, urlunsplit

__all__ = ["Endpoint", "is_url", "parse_endpoint", "shown"]

_URL = re.compile(r"https?://", re.IGNORECASE)
# Paths that are themselves what is asked; anything else is where these lie.
_FULL = re.compile(r"/(?:v[12]/)?(?:rerank|reranking|rank)$")
_VERSION = re.compile(r"/v[12]$")
_KEY = "RAG_RERANKERS_API_KEY"


def is_url(name: str) -> bool:
    """Whether a model's name is the URL of a server.

    Example:
        >>> is_url("HTTPS://host/v1"), is_url("BAAI/bge-reranker-v2-m3")
        (True, False)
    """
    return _URL.match(name) is not None


def shown(name: str) -> str:
    """A model's name as it may be shown: a URL loses user, password and query.

    Example:
        >>> shown("http://me:secret@host:8080/v1?key=secret#bge")
        'http://host:8080/v1#bge'
        >>> shown("colbertv2")
        'colbertv2'
    """
    if not is_url(name):
        return name
    scheme, _, rest = name.partition("://")
    place, _, model = rest.partition("#")
    authority, slash, path = place.partition("?")[0].partition("/")
    host = authority.rpartition("@")[2]
    return f"{scheme.lower()}://{host}{slash}{path}" + (f"#{model}" if model else "")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server's place.

    Attributes:
        base: The URL without user, query, fragment and final slash: fit to be shown.
        model: The model that the URL names.
        authorization: The header that the server is to get.
        secrets: What an answer that is shown must not repeat.
    """

    base: str
    model: str | None = None
    authorization: str | None = field(default=None, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)

    @property
    def full(self) -> bool:
        """Whether the path is itself what is asked, such as ``/v2/rerank``."""
        return _FULL.search(urlsplit(self.base).path) is not None

    @property
    def root(self) -> str:
        """The URL below which a server's other paths lie."""
        return _VERSION.sub("", _FULL.sub("", self.base) if self.full else self.base)

    def clean(self, text: str) -> str:
        """The text with the secrets blotted out."""
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return text


def parse_endpoint(url: str, api_key: str | None = None, fallback: str | None = None) -> Endpoint:
    """Take a URL apart.

    Args:
        url: ``http://host:8080``, with a path before the server's own or of the server's own, and
            perhaps ``#model``.
        api_key: Sent as a bearer token.
        fallback: A key for a URL that brings no user, if ``api_key`` is not given.

    Raises:
        ValueError: It is no URL of a server, has a query, or names a user beside a key.
    """
    told = shown(url)
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    if parts.scheme not in {"http", "https"} or not host or re.search(r"[\s\\]", told):
        raise ValueError(
            f"{told!r} is not the URL of a server: it looks like http://host:8080 or "
            "https://host/prefix"
        )
    if parts.query:
        raise ValueError(
            f"{told!r} has a query (?...), which would be written into logs: leave it out, and "
            f"give a key as api_key= or in {_KEY}"
        )
    name = f"[{host}]" if ":" in host else host
    place = name if port is None else f"{name}:{port}"
    base = urlunsplit((parts.scheme, place, parts.path.rstrip("/"), "", ""))
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if not user and not password:
        key = api_key or fallback
        if key is None:
            return Endpoint(base, unquote(parts.fragment) or None)
        return Endpoint(base, unquote(parts.fragment) or None, f"Bearer {key}", (key,))
    if api_key is not None:
        raise ValueError(f"{told!r} names a user, and there is an api_key too: give one of them")
    pair = base64.b64encode(f"{user}:{password}".encode()).decode()
    secrets = tuple(secret for secret in (pair, password) if secret)
    return Endpoint(base, unquote(parts.fragment) or None, f"Basic {pair}", secrets)
