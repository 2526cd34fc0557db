"""Attacks in the order of a seed: hostile bodies, and hostile HTTP around good ones."""

from __future__ import annotations

import gzip
import random
import zlib
from collections.abc import Callable, Iterator

from benchmarks.hostile.bodies import BODIES, KNOWN, encoded
from benchmarks.hostile.oddities import CONTENT_TYPES, HEADERS, METHODS, odd_paths
from benchmarks.hostile.wire import Attack

__all__ = ["attacks", "drips", "known", "metrics"]

JSON = "Content-Type: application/json"
PATHS = list(KNOWN)
_BOMB = gzip.compress(b'{"query": "' + b"a" * 10_000_000, mtime=0)


class Attacker:
    """Makes attacks.

    Args:
        seed: The same seed, the same attacks.
        key: Of the server, if it wants one.
    """

    def __init__(self, seed: int, key: str | None) -> None:
        self._rng = random.Random(seed)
        self._own = ["Host: localhost", *([f"Authorization: Bearer {key}"] if key else [])]

    def request(
        self, path: str, body: bytes, *headers: str, method: str = "POST", length: bool = True
    ) -> bytes:
        """One whole request."""
        lines = [f"{method} {path} HTTP/1.1", *self._own, *headers]
        if length:
            lines.append(f"Content-Length: {len(body)}")
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body

    def known(self, path: str) -> Attack:
        """The request that is right."""
        return Attack(
            "known",
            (self.request(path, encoded(KNOWN[path]), JSON),),
            must=200,
            answered=True,
            exact=path,
        )

    def bodies(self) -> Attack:
        """A good request with a bad body."""
        kinds = list(BODIES)
        kind = self._rng.choices(kinds, [BODIES[name][0] for name in kinds])[0]
        path = self._rng.choice(PATHS)
        body, wrong = BODIES[kind][1](self._rng, path)
        never = 200 if wrong else None
        return Attack(kind, (self.request(path, body, JSON),), never=never, answered=True)

    def types(self) -> Attack:
        """Not said to be JSON, or in a way that is odd."""
        path = self._rng.choice(PATHS)
        header, never = self._rng.choice(CONTENT_TYPES)
        return Attack(
            "content type",
            (self.request(path, encoded(KNOWN[path]), header),),
            never=never,
            answered=True,
        )

    def lengths(self) -> Attack:
        """Bodies that are shorter or longer than they are said to be."""
        path = self._rng.choice(PATHS)
        body = encoded(KNOWN[path])
        length = self._rng.choice(
            ["-1", "+5", "0", "1", "abc", "", " ", "1e3", "9" * 30, str(len(body) + 50), "0x20"]
        )
        headers = [JSON, f"Content-Length: {length}"]
        if self._rng.random() < 0.3:
            headers.append(f"Content-Length: {len(body)}")
        if self._rng.random() < 0.2:
            headers.append("Transfer-Encoding: chunked")
        raw = self.request(path, body, *headers, length=False)
        return Attack("content length", (raw,), ending="hesitate")

    def no_length(self) -> Attack:
        """A body that nothing announces: it is the next request, and none."""
        path = self._rng.choice(PATHS)
        raw = self.request(path, encoded(KNOWN[path]), JSON, length=False)
        return Attack("no content length", (raw,), ending="hesitate", never=200)

    def chunks(self) -> Attack:
        """Chunked bodies: good, cut, and with odd sizes."""
        path = self._rng.choice(PATHS)
        body = encoded(KNOWN[path])
        pieces = [body[place : place + 40] for place in range(0, len(body), 40)]
        good = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
        odd, right = self._rng.choice(
            [
                (good + b"0\r\n\r\n", True),
                (good.replace(b"\r\n", b";name=value\r\n", 1) + b"0\r\nTrailer: x\r\n\r\n", False),
                (good, False),
                (good[:-10], False),
                (b"FFFFFFFFFFFFFFFF\r\n" + body, False),
                (b"-5\r\n" + body, False),
                (b"zz\r\n" + good, False),
                (b"5 \r\n" + good, False),
                (b"\r\n\r\n", False),
                (good + b"0\r\n", False),
                (b"0" * 4000 + b"5\r\nhello\r\n0\r\n\r\n", False),
            ]
        )
        raw = self.request(path, odd, JSON, "Transfer-Encoding: chunked", length=False)
        if right:
            return Attack("chunks", (raw,), must=200, answered=True, exact=path)
        return Attack("odd chunks", (raw,), ending="hesitate")

    def leaving(self) -> Attack:
        """Clients that hang up early, or close the half that they need no more."""
        path = self._rng.choice(PATHS)
        raw = self.request(path, encoded(KNOWN[path]), JSON)
        part = raw[: self._rng.randrange(1, len(raw))]
        return self._rng.choice(
            [
                Attack("half-closed, whole", (raw,), ending="half-close"),
                Attack("half-closed, cut", (part,), ending="half-close", never=200),
                Attack("reset, whole", (raw,), ending="reset"),
                Attack("reset, cut", (part,), ending="reset"),
            ]
        )

    def pipelined(self) -> Attack:
        """Several requests before the first answer; sometimes rubbish in between."""
        paths = [self._rng.choice(PATHS) for _ in range(self._rng.randint(2, 5))]
        raws = [self.request(path, encoded(KNOWN[path]), JSON) for path in paths]
        if self._rng.random() < 0.3:
            place = self._rng.randrange(len(raws))
            raws[place] = self.request(paths[place], b"{", JSON)
        return Attack("pipelined", (b"".join(raws),), answers=len(raws), answered=True)

    def methods(self) -> Attack:
        """Methods that the routes do not have, or nobody."""
        method = self._rng.choice(METHODS)
        path = self._rng.choice([*PATHS, "/", "/health", "/models", "/metrics"])
        raw = self.request(path, b"", method=method)
        return Attack("HEAD" if method == "HEAD" else "method", (raw,))

    def headers(self) -> Attack:
        """Headers of every size and kind."""
        path = self._rng.choice(PATHS)
        odd = self._rng.choice(HEADERS)
        return Attack(
            "headers", (self.request(path, encoded(KNOWN[path]), *odd, JSON),), ending="hesitate"
        )

    def no_http(self) -> Attack:
        """What is not HTTP, or another of its versions."""
        raw = self.request("/rerank", encoded(KNOWN["/rerank"]), JSON)
        rubbish = self._rng.randbytes(self._rng.randint(1, 3_000))
        odd = self._rng.choice(
            [
                rubbish,
                b"\r\n\r\n" + raw,
                raw.replace(b"HTTP/1.1", b"HTTP/1.0"),
                raw.replace(b"HTTP/1.1", b"HTTP/9.9"),
                raw.replace(b" HTTP/1.1", b""),
                raw.replace(b"\r\n", b"\n"),
                raw.replace(b"Host: localhost\r\n", b""),
                b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + rubbish,
                b"GET / HTTP/1.1",
                b"\x00" * 5_000,
                b"GET " * 20_000,
            ]
        )
        return Attack("no HTTP", (odd,), ending="hesitate")

    def expecting(self) -> Attack:
        """Who waits until the body is asked for."""
        path = self._rng.choice(PATHS)
        raw = self.request(path, encoded(KNOWN[path]), JSON, "Expect: 100-continue")
        head, _, body = raw.partition(b"\r\n\r\n")
        if self._rng.random() < 0.2:
            head = head.replace(b"100-continue", b"something-else")
            return Attack("other expectation", (head + b"\r\n\r\n" + body,), ending="hesitate")
        return Attack(
            "100-continue", (head + b"\r\n\r\n", body), must=200, answered=True, exact=path
        )

    def compressed(self) -> Attack:
        """Compressed bodies, a bomb among them."""
        path = self._rng.choice(PATHS)
        plain = encoded(KNOWN[path])
        body, name = self._rng.choice(
            [
                (gzip.compress(plain, mtime=0), "gzip"),
                (_BOMB, "gzip"),
                (zlib.compress(plain), "deflate"),
                (plain, "br"),
                (plain, "gzip, gzip, gzip"),
                (gzip.compress(plain, mtime=0)[:-5], "gzip"),
            ]
        )
        raw = self.request(path, body, JSON, f"Content-Encoding: {name}")
        return Attack("compressed", (raw,), never=200, answered=True)

    def paths(self) -> Attack:
        """Paths that lead elsewhere, or try to."""
        path = self._rng.choice(PATHS)
        odd = self._rng.choice(odd_paths(path))
        method = self._rng.choice(["GET", "POST"])
        raw = self.request(odd, encoded(KNOWN[path]), JSON, method=method)
        return Attack("path", (raw,))

    def large(self, size: int) -> Attack:
        """A body of so many bytes."""
        body = b'{"query": "a", "documents": ["' + b"a " * (size // 2) + b'"]}'
        return Attack("large body", (self.request("/rerank", body, JSON),), answered=True)


def known(seed: int, key: str | None) -> list[Attack]:
    """The right requests, one for every route."""
    attacker = Attacker(seed, key)
    return [attacker.known(path) for path in PATHS]


def metrics(key: str | None) -> Attack:
    """The request for what the server has counted."""
    raw = Attacker(0, key).request("/metrics", b"", method="GET", length=False)
    return Attack("metrics", (raw,))


def attacks(count: int, seed: int, key: str | None = None) -> Iterator[Attack]:
    """So many attacks; the same seed gives the same."""
    one = Attacker(seed, key)
    rng = random.Random(f"order {seed}")
    makers: list[tuple[int, Callable[[], Attack]]] = [
        (600, one.bodies), (20, one.types), (40, one.lengths), (10, one.no_length),
        (40, one.chunks), (60, one.leaving), (30, one.pipelined), (30, one.methods),
        (50, one.headers), (40, one.no_http), (20, one.expecting), (20, one.compressed),
        (40, one.paths), (40, lambda: one.known(rng.choice(PATHS))),
        (1, lambda: one.large(3_000_000)),
    ]  # fmt: skip
    weights = [weight for weight, _ in makers]
    for number in range(count):
        if number in (count // 3, 2 * count // 3):
            yield one.large(40_000_000)
        else:
            yield rng.choices(makers, weights)[0][1]()


def drips(seed: int, key: str | None) -> list[Attack]:
    """Clients that send a byte at a time: the body, or already the headers."""
    one = Attacker(seed, key)
    raws = [one.request(path, encoded(KNOWN[path]), JSON) for path in PATHS]
    slow = []
    for raw in raws:
        head, _, body = raw.partition(b"\r\n\r\n")
        slow.append(Attack("slow body", (head + b"\r\n\r\n",), drip=body, never=200))
        slow.append(Attack("slow headers", (), drip=head))
    return slow
