"""A process of its own that loads one model and scores: ``python -m`` of this module.

Reads a request from stdin, writes the answer as the last line of stdout.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
import warnings
from pathlib import Path

from rag_rerankers.evaluation.cost import probe_here, told

__all__ = ["main"]


def main() -> None:
    """Answer the request on stdin."""
    warnings.simplefilter("ignore")
    request = json.load(sys.stdin)
    # The libraries are no part of the model: neither of its memory nor of its loading time.
    import torch  # noqa: F401
    import transformers.modeling_utils

    from rag_rerankers import Reranker
    from rag_rerankers.scorers import cross_encoder, late_interaction, loading  # noqa: F401

    transformers.logging.disable_progress_bar()
    before = _peak_rss()
    started = time.perf_counter()
    reranker = Reranker(request["model"], **request["options"])
    loaded = time.perf_counter() - started
    for query, texts in request["sample"][:1]:  # the peak is that of the fullest batch
        reranker.scorer.score(query, texts)
    small = probe_here(reranker.scorer, request["sample"])
    answer = dataclasses.replace(
        small,
        load_seconds=loaded,
        rss_before=before,
        rss_peak=_peak_rss(),
        device_peak=_peak_device(),
    )
    sys.stdout.write("\n" + told(answer) + "\n")


def _peak_rss() -> int | None:
    """The most memory that was resident so far, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # what getrusage tells on Linux includes the parent before the exec
        for line in status.read_text("ascii", "replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)


def _peak_device() -> int | None:
    import torch

    return int(torch.cuda.max_memory_reserved()) if torch.cuda.is_initialized() else None


if __name__ == "__main__":
    main()
