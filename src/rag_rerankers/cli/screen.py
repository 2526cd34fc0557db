"""What the commands share: where they write, and how they fail."""

from __future__ import annotations

import json
import logging
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from rag_rerankers import RerankError

__all__ = [
    "failing_softly",
    "no_loading_bar",
    "print_json",
    "progress_bar",
    "say",
    "show_progress",
    "stderr",
    "stdout",
    "visible",
]

stdout = Console(highlight=False)
stderr = Console(stderr=True, highlight=False)

T = TypeVar("T")


@contextmanager
def failing_softly(*, verbose: bool = False) -> Iterator[None]:
    """Errors that a user can do something about become one red line, warnings a yellow one."""
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format="%(message)s")
    warnings.showwarning = _show_warning
    try:
        yield
    except (RerankError, ValueError, TypeError, OSError) as error:
        stderr.print(Text.assemble((f"{type(error).__name__}: ", "red"), visible(str(error))))
        raise typer.Exit(1) from None


def say(message: str) -> None:
    """A line for the eye, on stderr."""
    stderr.print(Text(visible(message)))


def print_json(value: object) -> None:
    """JSON on stdout, escaped: a lone surrogate cannot break the pipe's encoding."""
    sys.stdout.write(json.dumps(value, ensure_ascii=True, indent=2) + "\n")


def visible(text: str) -> str:
    """The text without half surrogate pairs, which no terminal can show."""
    return text.encode("utf-8", "replace").decode()


def progress_bar() -> Progress:
    """A bar on stderr, which is gone when its block ends."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=stderr, transient=True)


def show_progress(description: str, items: Iterable[T], total: int) -> Iterable[T]:
    """A bar on stderr while a loop runs."""
    with progress_bar() as bar:
        yield from bar.track(items, total=total, description=description)


def no_loading_bar() -> None:
    """Silence the bar of transformers: ours says it already. Downloads keep theirs."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    stderr.print(f"warning: {message}", markup=False, style="yellow")
