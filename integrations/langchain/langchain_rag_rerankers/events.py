"""The event that callbacks get for each rerank.

``dispatch_custom_event`` of langchain-core demands a surrounding run and raises without one. A
compressor may well be called outside any run, with bare handlers or none, so the event goes through
the callback manager itself: under the surrounding run's id where there is one, else under a new id.
"""

from __future__ import annotations

from typing import Any

from langchain_core.callbacks import AsyncCallbackManager, CallbackManager, Callbacks
from langchain_core.runnables.config import (
    RunnableConfig,
    ensure_config,
    get_async_callback_manager_for_config,
    get_callback_manager_for_config,
)

__all__ = ["RERANK_EVENT", "adispatch", "async_manager", "dispatch", "sync_manager", "told"]

RERANK_EVENT = "rag_rerankers.rerank"
"""Name of the custom event that every rerank sends to the callbacks."""


def sync_manager(callbacks: Callbacks) -> CallbackManager:
    """The manager for the given callbacks; for None, that of the runnable that is running."""
    return get_callback_manager_for_config(_config(callbacks))


def async_manager(callbacks: Callbacks) -> AsyncCallbackManager:
    """:func:`sync_manager` for asyncio."""
    return get_async_callback_manager_for_config(_config(callbacks))


def dispatch(manager: CallbackManager, data: dict[str, Any]) -> None:
    """Send the rerank event to the manager's handlers."""
    manager.on_custom_event(RERANK_EVENT, data, run_id=manager.parent_run_id)


async def adispatch(manager: AsyncCallbackManager, data: dict[str, Any]) -> None:
    """Send the rerank event to the manager's handlers and await those that are coroutines."""
    await manager.on_custom_event(RERANK_EVENT, data, run_id=manager.parent_run_id)


def told(failure: Exception | None) -> str | None:
    """An error as the event holds it: its type and its message."""
    return None if failure is None else f"{type(failure).__name__}: {failure}"


def _config(callbacks: Callbacks) -> RunnableConfig:
    # ensure_config takes what is None from the runnable that is running.
    return ensure_config({"callbacks": callbacks})
