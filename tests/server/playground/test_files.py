"""The page's files: what they are sent with, and what they may not hold."""

from __future__ import annotations

import re
import sys
from importlib.resources import files
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="needs the extra 'server'")

from fastapi import FastAPI
from starlette.testclient import TestClient

from rag_rerankers.server.playground import make_router

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "src" / "rag_rerankers" / "server" / "playground"
ASSETS = sorted(path.name for path in FOLDER.iterdir() if path.suffix in {".css", ".js", ".svg"})
MODULES = sorted(FOLDER.glob("*.js"))


def read(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def client():
    app = FastAPI()
    app.include_router(make_router())
    return TestClient(app)


# --- how they are served ---


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/playground/style.css", "text/css; charset=utf-8"),
        ("/playground/app.js", "text/javascript; charset=utf-8"),
        ("/playground/icon.svg", "image/svg+xml"),
    ],
)
def test_files_come_with_their_type_and_headers_that_lock_the_page_in(client, path, kind):
    answer = client.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == kind
    policy = [part.strip() for part in answer.headers["content-security-policy"].split(";")]
    for part in (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    ):
        assert part in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-cache"
    assert re.fullmatch(r'"[0-9a-f]{32}"', answer.headers["etag"])


@pytest.mark.parametrize("name", ASSETS)
def test_every_file_is_served_as_it_is(client, name):
    assert client.get(f"/playground/{name}").content == (FOLDER / name).read_bytes()


def test_the_page_is_the_index(client):
    assert client.get("/").content == (FOLDER / "index.html").read_bytes()


@pytest.mark.parametrize("given", ["{}", "W/{}", '"other", {}'])
def test_what_is_known_is_not_sent_again(client, given):
    etag = client.get("/").headers["etag"]
    again = client.get("/", headers={"If-None-Match": given.format(etag)})
    assert again.status_code == 304
    assert again.content == b""
    assert again.headers["etag"] == etag
    assert client.get("/", headers={"If-None-Match": '"other"'}).status_code == 200


def test_head_has_the_headers_without_the_file(client):
    whole, head = client.get("/"), client.head("/")
    assert head.content == b""
    assert head.headers["content-length"] == str(len(whole.content))


@pytest.mark.parametrize(
    "name",
    ["none.js", "__init__.py", "index.html", "..%2f__init__.py", "%2e%2e/app.py", "app.js%00", ""],
)
def test_nothing_else_is_served(client, name):
    assert client.get(f"/playground/{name}").status_code == 404


def test_the_description_of_the_api_leaves_the_page_out():
    app = FastAPI()
    app.include_router(make_router())
    assert app.openapi()["paths"] == {}


# --- what they hold ---


@pytest.mark.parametrize("name", [*ASSETS, "index.html"])
def test_nothing_comes_from_elsewhere(name):
    found = re.findall(r"""(?:https?:)?//[^\s"'`)>]+\.[^\s"'`)>]+""", read(name))
    assert [url for url in found if url not in {"http://www.w3.org/2000/svg"}] == []
    assert "@import" not in read(name)


def test_the_page_has_no_scripts_styles_or_handlers_of_its_own():
    page = read("index.html")
    assert re.findall(r"<script\b[^>]*>(.*?)</script>", page, re.DOTALL) == [""]
    assert "<style" not in page
    assert re.findall(r"\s(?:style|on\w+)=", page) == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_no_string_becomes_code_or_html(path):
    source = path.read_text(encoding="utf-8")
    for sink in (
        *("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "DOMParser"),
        *("eval(", "Function(", "createContextualFragment", "srcdoc", "localStorage"),
    ):
        assert sink not in source


def test_every_element_that_is_looked_up_exists_once():
    page = read("index.html")
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    source = "".join(path.read_text(encoding="utf-8") for path in MODULES)
    asked = set(re.findall(r'byId\("([^"]+)"\)', source))
    assert len(asked) > 20
    assert asked <= set(ids)
    referred = re.findall(r'(?:\bfor|aria-\w+by|href)="#?([\w-]+)"', page)
    assert set(referred) <= set(ids)


def test_every_module_that_is_imported_exists():
    for path in MODULES:
        for name in re.findall(r'from "\./([^"]+)"', path.read_text(encoding="utf-8")):
            assert (FOLDER / name).is_file(), f"{path.name} imports {name}"


def test_the_package_reads_the_same_files():
    package = files("rag_rerankers.server.playground")
    assert {"index.html", *ASSETS} <= {entry.name for entry in package.iterdir()}


@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_the_distributions_hold_the_files(kind, tmp_path):
    wheel = pytest.importorskip("hatchling.builders.wheel", reason="needs hatchling")
    sdist = pytest.importorskip("hatchling.builders.sdist", reason="needs hatchling")
    builder = {"wheel": wheel.WheelBuilder, "sdist": sdist.SdistBuilder}[kind]
    held = {
        Path(one.distribution_path).as_posix()
        for one in builder(str(ROOT)).recurse_included_files()
    }
    prefix = "rag_rerankers/server/playground/"
    if kind == "sdist":
        prefix = "src/" + prefix
    assert {prefix + name for name in ("index.html", *ASSETS)} <= held


def test_the_page_costs_no_model():
    assert "torch" not in read("__init__.py")
    assert sys.modules.get("rag_rerankers.server.playground") is not None
