"""A process of its own that loads one model and scores: ``python -m`` of this module.

Reads a request from stdin, writes the answer as the last line of stdout.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
import warnings

from rag_rerankers.evaluation.cost import probe_here, told

__all__ = ["main"]


def main() -> None:
    """Answer the request on stdin."""
    warnings.simplefilter("ignore")
    request = json.load(sys.stdin)
    import transformers  # the libraries themselves are no part of the model's memory

    from rag_rerankers import Reranker

    transformers.logging.disable_progress_bar()
    before = _peak_rss()
    started = time.perf_counter()
    reranker = Reranker(request["model"], **request["options"])
    loaded = time.perf_counter() - started
    for query, texts in request["sample"]:
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
