"""On a GPU: this project against sentence-transformers, and the rate of the products alone."""

from __future__ import annotations

import gc
import importlib.util
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.candidates import candidates
from benchmarks.models import folder_of, linear_flops, shape_of
from benchmarks.peers.base import Model
from benchmarks.process import WorkerError, ask_fresh
from benchmarks.setting import Setting, say
from benchmarks.tokens import count_tokens

__all__ = ["measure", "measure_here"]

SIZES = (50, 1000)
ROUNDS = 7
DTYPES = ("bfloat16", "float16")
BATCHES = (32, 64, 128, 256)


def measure(setting: Setting, model: Model) -> dict[str, Any]:
    """Measure in a process of its own.

    Raises:
        WorkerError: There is no CUDA device.
    """
    import torch

    if not torch.cuda.is_available():
        raise WorkerError("torch sees no CUDA device")
    say(f"{model} on {torch.cuda.get_device_name()}")
    return ask_fresh(
        "benchmarks.gpu:measure_here",
        {
            "model": model,
            "folder": str(folder_of(model)),
            "data": None if setting.data is None else str(setting.data),
            "device": "cuda",
            "sizes": [50] if setting.quick else list(SIZES),
            "rounds": setting.rounds or (2 if setting.quick else ROUNDS),
        },
    )


def measure_here(request: dict[str, Any]) -> dict[str, Any]:
    """Seconds of everybody at every size, one dtype after another, interleaved within it."""
    import torch

    folder, device = Path(request["folder"]), torch.device(request["device"])
    data = Path(request["data"]) if request["data"] else None
    rows: list[dict[str, Any]] = []
    rates = {}
    for dtype in DTYPES:
        rates[dtype] = _product_rate(device, getattr(torch, dtype))
        everybody = list(_contestants(folder, device, dtype))
        for size in request["sizes"]:
            query, texts = candidates(size, data=data)
            found: dict[str, list[float]] = {name: [] for name, _ in everybody}
            for _, score in everybody:
                score(query, texts)
            for _ in range(request["rounds"]):
                for name, score in everybody:
                    gc.collect()
                    _wait(device)
                    started = time.perf_counter()
                    score(query, texts)
                    _wait(device)
                    found[name].append(round(time.perf_counter() - started, 6))
            tokens = count_tokens(folder, request["model"], query, texts)
            rows += [
                {"name": name, "dtype": dtype, "candidates": size, "tokens": tokens, "seconds": s}
                for name, s in found.items()
            ]
        del everybody
        gc.collect()
    name = torch.cuda.get_device_name() if device.type == "cuda" else "cpu"
    flops = linear_flops(shape_of(folder))
    return {"device": name, "flops_per_token": flops, "product_flops": rates, "rows": rows}


def _contestants(
    folder: Path, device: Any, dtype: str
) -> Iterator[tuple[str, Callable[[str, list[str]], Any]]]:
    """This project first, then sentence-transformers at its default and other batch sizes."""
    from sentence_transformers import CrossEncoder

    from rag_rerankers import Reranker

    yield "rag-rerankers", Reranker(folder, device=str(device), dtype=dtype).rank
    attention = "sdpa"
    if device.type == "cuda" and importlib.util.find_spec("flash_attn") is not None:
        attention = "flash_attention_2"
    encoder = CrossEncoder(
        str(folder),
        device=str(device),
        max_length=512,
        model_kwargs={"dtype": dtype, "attn_implementation": attention},
    )
    for batch in BATCHES:

        def score(query: str, texts: list[str], batch: int = batch) -> Any:
            pairs = [(query, text) for text in texts]
            return encoder.predict(pairs, batch_size=batch, show_progress_bar=False)

        yield f"CrossEncoder, {attention}, batch {batch}", score


def _product_rate(device: Any, dtype: Any, side: int = 8192) -> float:
    """Operations a second of one large matrix product, the best of ten."""
    import torch

    side = side if device.type == "cuda" else 512
    left = torch.randn(side, side, device=device, dtype=dtype)
    right = torch.randn(side, side, device=device, dtype=dtype)
    best = float("inf")
    for _ in range(13):
        _wait(device)
        started = time.perf_counter()
        torch.mm(left, right)
        _wait(device)
        best = min(best, time.perf_counter() - started)
    return 2 * side**3 / best


def _wait(device: Any) -> None:
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize()
