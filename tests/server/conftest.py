from __future__ import annotations

import pytest


@pytest.fixture
async def overlap():
    """A client of a server with one model that counts common words."""
    pytest.importorskip("fastapi")
    from tests.server.apps import serving

    async with serving() as client:
        yield client
