"""A small Ray on this machine, and the word to skip with where Ray is absent."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from rag_rerankers.distributed.libraries import FEATURE, needed
from rag_rerankers.errors import MissingExtraError

__all__ = ["local_ray", "needs_ray"]


def needs_ray() -> None:
    """Skip the test, or the module, where Ray or pyarrow is not installed."""
    try:
        needed("ray", FEATURE)
        needed("pyarrow", FEATURE)
    except MissingExtraError as error:
        pytest.skip(f"needs the extra {error.extra!r}", allow_module_level=True)


@contextmanager
def local_ray() -> Iterator[None]:
    """Two cores, little memory; one that is there is used, and stays."""
    import ray

    if ray.is_initialized():
        yield
        return
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        object_store_memory=200_000_000,
        logging_level=logging.ERROR,
        log_to_driver=False,
    )
    try:
        yield
    finally:
        ray.shutdown()
