"""Log lines as JSON, one a line. Texts, queries and keys are never logged."""

from __future__ import annotations

import json
import logging
import time
import traceback
from typing import Any

__all__ = ["JsonFormatter", "log_as_json"]

_OWN = frozenset(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    "taskName",
    "color_message",
}


class JsonFormatter(logging.Formatter):
    """Makes a JSON object of a record: time, level, logger, event, and its ``extra`` fields."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        line.update({k: v for k, v in vars(record).items() if k not in _OWN})
        if record.exc_info and record.exc_info[0] is not None:
            # The place but not the message, which may hold what a client sent.
            kind, _, trace = record.exc_info
            line["exception"] = kind.__name__
            line["trace"] = [
                f"{frame.filename}:{frame.lineno} {frame.name}"
                for frame in traceback.extract_tb(trace)
            ]
        return json.dumps(line, default=str)


def log_as_json(*, verbose: bool = False) -> None:
    """Send this process's log to stderr as JSON lines.

    Args:
        verbose: What runs where, too.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    logging.captureWarnings(True)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("rag_rerankers").setLevel(logging.INFO if verbose else logging.WARNING)
    logging.getLogger("rag_rerankers.server").setLevel(logging.INFO)
