from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def overlap_app():
    pytest.importorskip("fastapi")
    from tests.server.apps import started

    from rag_rerankers.server import ServerSettings

    return started(ServerSettings(models=("overlap",), playground=False))


@pytest.fixture
async def overlap(overlap_app):
    """A client of a server with one model that counts common words; other tests ask it too."""
    from tests.server.apps import client_of

    async with client_of(overlap_app) as client:
        yield client


@pytest.fixture
async def fresh():
    """The same, but a server that nobody else has asked."""
    pytest.importorskip("fastapi")
    from tests.server.apps import serving

    async with serving() as client:
        yield client
