"""One function of this package in a process of its own: ``python -m benchmarks.fresh MODULE:NAME``.

The request is JSON on stdin; the answer is JSON on stdout, and nothing else is.
"""

from __future__ import annotations

import importlib
import json
import sys
import warnings

from benchmarks.worker import reserved_stdout

__all__ = ["main"]


def main() -> None:
    """Call the function with the request."""
    answers = reserved_stdout()
    warnings.simplefilter("ignore")
    module, _, name = sys.argv[1].partition(":")
    try:
        answer = getattr(importlib.import_module(module), name)(json.load(sys.stdin))
    except Exception as error:
        answer = {"error": f"{type(error).__name__}: {error}"}
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
