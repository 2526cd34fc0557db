"""Methods, headers and paths that are odd."""

from __future__ import annotations

__all__ = ["CONTENT_TYPES", "HEADERS", "METHODS", "odd_paths"]

METHODS = [
    *("GET", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE", "CONNECT", "PROPFIND"),
    *("post", "FOO", "P\xd6ST", "A" * 5_000),
]

CONTENT_TYPES: list[tuple[str, int | None]] = [
    ("Content-Type: text/plain", 200),
    ("Content-Type: multipart/form-data; boundary=x", 200),
    ("Content-Type: application/x-www-form-urlencoded", 200),
    ("Content-Type: ", 200),
    ("X-None: 1", 200),
    ("Content-Type: application/json; charset=utf-16", None),
    ("Content-Type: application/json; charset=\xff", None),
    ("Content-Type: APPLICATION/JSON", None),
    ("Content-Type: application/json, text/plain", None),
    ("Content-Type: application/jsonx", 200),
    ("Content-Type: " + "a" * 5000, None),
]
"""With the status that is wrong, where one is."""

HEADERS: list[list[str]] = [
    ["X-Large: " + "a" * 70_000],
    [f"X-{i}: {i}" for i in range(2_000)],
    ["No colon at all"],
    [": no name"],
    [" folded: value"],
    ["X-Nul: a\x00b"],
    ["X-Request-ID: " + "\xe9" * 300],
    ["X-Request-ID: " + "x" * 9_000],
    ["Authorization: Basic \xff\xfe"],
    ["Authorization: " + "Bearer " * 100],
    ["Authorization:"],
    ["Cookie: " + "a=b; " * 2_000],
    ["Host: \xff"],
    ["Connection: close, keep-alive, upgrade", "Upgrade: websocket"],
    ["Upgrade: h2c", "Connection: Upgrade", "HTTP2-Settings: AAA"],
    ["Range: bytes=0-0"],
    ["Accept: nothing/at-all", "Accept-Encoding: *;q=0"],
    ["Origin: null", "Sec-Fetch-Site: cross-site"],
    *(
        [f"X-Request-Timeout: {seconds}"]
        for seconds in (
            "nan",
            "-1",
            "0",
            "1e999",
            "inf",
            "a",
            "",
            "1e-9",
            "\xb2",
            "9" * 400,
        )
    ),
]


def odd_paths(path: str) -> list[str]:
    """Ways to write a path, and ways out of the server's own."""
    return [
        *(f"/{path}", f"{path}/", f"{path}?a=b&a=%ff", f"{path}#x", f"{path};x=y", f"{path}%00"),
        *(f"/..{path}", f"/x/..{path}", path.upper(), f"http://elsewhere{path}", "*", "%2f"),
        *(f"/%{ord(path[1]):x}{path[2:]}", "/" + "a" * 60_000, "/%ff%fe", "/\xe9"),
        *("/" + "%2e%2e/" * 40 + "etc/passwd", "/" + "../" * 20 + "etc/passwd"),
        *("/static/..%2f..%2f..%2f..%2f..%2fetc/passwd", "/playground/..%5c..%5cetc%5cpasswd"),
        *("/docs/../../../etc/passwd", "/openapi.json?x", "/.git/config", "/assets//etc/passwd"),
    ]
