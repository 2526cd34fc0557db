"""The playground page."""

from __future__ import annotations

from fastapi import APIRouter

__all__ = ["make_router"]


def make_router() -> APIRouter:
    """Nothing yet."""
    return APIRouter()
