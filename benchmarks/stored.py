"""Late interaction from a store, against encoding, and against LlamaIndex's reranker.

Interleaved in one process: the query alone, a ranking whose documents are in the store (in memory,
and on disk only), one whose documents are new, MaxSim alone on one core; then a store that is
warmed, and warmed again when one text in a hundred has changed.
"""

from __future__ import annotations

import gc
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.candidates import candidates
from benchmarks.contestants import Contestant, find
from benchmarks.interleave import start
from benchmarks.models import folder_of
from benchmarks.peers.base import Model
from benchmarks.process import WorkerError, ask_fresh
from benchmarks.setting import Setting, say

__all__ = ["measure", "measure_here"]

CANDIDATES, WARM_ROUNDS, COLD_ROUNDS = 50, 21, 3
CORPUS, CHANGED = 1000, 10
TOKENS = 180
LLAMA = "llama_index_colbert"


def measure(setting: Setting, model: Model) -> dict[str, Any]:
    """One model, in a process of its own; then the peer in its."""
    say(f"{model}: from a store")
    found = ask_fresh(
        "benchmarks.stored:measure_here",
        {
            "folder": str(folder_of(model)),
            "data": None if setting.data is None else str(setting.data),
            "candidates": 10 if setting.quick else CANDIDATES,
            "corpus": 100 if setting.quick else CORPUS,
            "changed": 1 if setting.quick else CHANGED,
        },
    )
    found["llama_index"] = _llama_index(setting, model, found["candidates"])
    return found


def _llama_index(setting: Setting, model: Model, count: int) -> dict[str, Any]:
    """Seconds of each configuration of the peer on the same candidates."""
    seconds: dict[str, Any] = {}
    if setting.peers is not None and LLAMA not in setting.peers:
        return seconds
    for config in find(LLAMA).configs(model):
        member = start(Contestant(LLAMA, config), model, folder_of(model), setting.data)
        if member.worker is None:
            return {"error": member.error}
        with member.worker as worker:
            try:
                worker.ask({"do": "score", "count": 3})
                times = [worker.ask({"do": "score", "count": count})["seconds"] for _ in range(2)]
            except WorkerError as error:
                return {"error": str(error)}
        seconds[config.label] = [round(one, 5) for one in times]
    return seconds


def measure_here(request: dict[str, Any]) -> dict[str, Any]:
    """All but the peer."""
    data = Path(request["data"]) if request["data"] else None
    with tempfile.TemporaryDirectory() as scratch:
        found = _ranking(request, data, Path(scratch))
        found["maxsim"] = _maxsim()
        found["warming"] = _warming(request, data, Path(scratch))
    return found


def _ranking(request: dict[str, Any], data: Path | None, scratch: Path) -> dict[str, Any]:
    from rag_rerankers import Reranker, TokenStore

    count = request["candidates"]
    reranker = Reranker(request["folder"], store=TokenStore(scratch / "ranking"))
    query, texts = candidates(count, data=data)
    from_disk = TokenStore(scratch / "ranking", memory_bytes=0)
    in_memory = reranker.scorer.stored._store  # type: ignore[attr-defined]
    runs: dict[str, list[float]] = {name: [] for name in ("query", "warm", "disk", "cold")}

    def timed(name: str, work: Any) -> None:
        gc.collect()
        started = time.perf_counter()
        work()
        runs[name].append(round(time.perf_counter() - started, 6))

    reranker.rank(query, texts)
    for turn in range(WARM_ROUNDS):
        timed("query", lambda: reranker.scorer.encoder.query(query))  # type: ignore[attr-defined]
        timed("warm", lambda: reranker.rank(query, texts))
        reranker.scorer.stored._store = from_disk  # type: ignore[attr-defined]
        timed("disk", lambda: reranker.rank(query, texts))
        reranker.scorer.stored._store = in_memory  # type: ignore[attr-defined]
        if turn < COLD_ROUNDS:
            new = [f"{text} {turn}" for text in texts]
            timed("cold", lambda new=new: reranker.rank(query, new))
    return {"candidates": count, "seconds": runs}


def _maxsim() -> dict[str, list[float]]:
    """MaxSim over stored documents on one core, as ColBERTv2 has them, for each compression."""
    import torch

    from rag_rerankers.scorers.maxsim import sum_of_maxima
    from rag_rerankers.store.codecs import Float16Codec, Int8Codec

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    made = torch.Generator().manual_seed(0)

    def unit(n: int) -> torch.Tensor:
        return torch.nn.functional.normalize(torch.randn(n, 128, generator=made), dim=1)

    query, vectors = unit(32), unit(CANDIDATES * TOKENS)
    found: dict[str, list[float]] = {}
    for name, codec in (("int8", Int8Codec(128)), ("float16", Float16Codec(128))):
        records = codec.compress(vectors)
        entries = [
            records[first : first + TOKENS * codec.record]
            for first in range(0, len(records), TOKENS * codec.record)
        ]
        found[name] = []
        for _ in range(WARM_ROUNDS):
            started = time.perf_counter()
            joined = torch.frombuffer(bytearray().join(entries), dtype=torch.uint8)
            similarity = codec.similarity(query, joined.view(-1, codec.record))
            sum_of_maxima(similarity, [TOKENS] * CANDIDATES)
            found[name].append(round(time.perf_counter() - started, 6))
    torch.set_num_threads(before)
    return found


def _warming(request: dict[str, Any], data: Path | None, scratch: Path) -> dict[str, Any]:
    from rag_rerankers import Reranker

    _, texts = candidates(request["corpus"], data=data)
    reranker = Reranker(request["folder"], store=scratch / "warming")
    reranker.scorer.encoder.documents(texts[:20])  # type: ignore[attr-defined]
    first = reranker.warm(texts)
    # Every hundredth of them by length, so that the part that changed is like the whole.
    order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
    step = len(texts) // request["changed"]
    changed = list(texts)
    for index in order[step // 2 :: step]:
        changed[index] += " today"
    again = reranker.warm(changed)
    return {
        "texts": first.texts,
        "seconds": round(first.seconds, 4),
        "changed": again.encoded,
        "again": round(again.seconds, 4),
    }


def share_of_first(part: dict[str, Any]) -> float:
    """What warming again cost, over what the changed part of the first warming cost."""
    warming = part["warming"]
    expected: float = warming["seconds"] * warming["changed"] / warming["texts"]
    found: float = warming["again"] / expected
    return found


def medians(part: dict[str, Any]) -> dict[str, float]:
    """The median of each run, in seconds."""
    return {name: statistics.median(times) for name, times in part["seconds"].items()}
