from __future__ import annotations

import pytest
from tests.devtools import chromium


@pytest.fixture(scope="package")
def browser(tmp_path_factory):
    """One browser for all."""
    with chromium(tmp_path_factory.mktemp("profile")) as running:
        yield running
