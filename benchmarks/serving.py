"""The server under load: in-process calls beside it, too many clients, and a signal.

    python -m benchmarks.serving                          everything; ten minutes
    python -m benchmarks.serving steady --seconds 60 --clients 64
    python -m benchmarks.serving overload | stop
    python -m benchmarks.serving steady --url http://host:8080      somebody else's server

Every answer is compared with what the in-process reranker says. Results go to
benchmarks/serving.json and stdout.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.candidates import candidates
from benchmarks.environment import machine, machine_name, versions
from benchmarks.places import DATA, ROOT
from benchmarks.serving_clients import Answered, Case, ask_at_a_rate, ask_in_turn
from benchmarks.serving_process import ServerProcess

CASES = 200
EACH = 10
RESULTS = ROOT / "benchmarks" / "serving.json"


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "part", nargs="?", default="all", choices=["all", "steady", "overload", "stop"]
    )
    parser.add_argument("--model", default="minilm-maxsim")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--url", help="a running server; its model must be --model")
    parser.add_argument("--key", help="its API key")
    parser.add_argument("--data", type=Path, default=DATA if DATA.is_dir() else None)
    asked = parser.parse_args()
    if asked.url and asked.part != "steady":
        parser.error("--url goes with steady alone: the other parts start and stop a server")
    found: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    found |= {
        "machine": {"name": machine_name()} | machine(),
        "versions": versions(Path(sys.executable)),
        "model": asked.model,
        "clients": asked.clients,
        "seconds": asked.seconds,
        "candidates": EACH,
    }
    parts = ["steady", "overload", "stop"] if asked.part == "all" else [asked.part]
    cases = make_cases(asked.model, asked.data)
    for part in parts:
        found[part] = PARTS[part](asked, cases, found)
        print(json.dumps({part: found[part]}, indent=1), flush=True)
        if not asked.url:
            RESULTS.write_text(json.dumps(found, indent=1) + "\n")


def make_cases(model: str, data: Path | None) -> list[Case]:
    """Queries with ten candidates each, and what the in-process reranker makes of them."""
    from rag_rerankers import Reranker

    reranker = Reranker(model)
    cases = []
    for number in range(CASES):
        query, texts = candidates(EACH, offset=number, data=data)
        query = f"{query} ({number})"
        hits = reranker.rank(query, texts)
        cases.append(Case(query, texts, [(hit.index, hit.relevance) for hit in hits]))
    return cases


def steady(asked: argparse.Namespace, cases: Sequence[Case], _: dict[str, Any]) -> dict[str, Any]:
    """So many clients, each asking again when it has its answer, with in-process calls around."""
    before = _in_process(asked, cases, asked.seconds / 3)
    if asked.url:
        answered = asyncio.run(
            ask_in_turn(asked.url, cases, asked.clients, asked.seconds, key=asked.key)
        )
        memory: list[int] = []
    else:
        with ServerProcess(asked.model) as server:
            # Warm-up: what is allocated once is not growth.
            asyncio.run(ask_in_turn(server.url, cases, asked.clients, asked.seconds / 3))
            server.watch_memory()
            answered = asyncio.run(ask_in_turn(server.url, cases, asked.clients, asked.seconds))
            memory = server.memory()
    after = _in_process(asked, cases, asked.seconds / 3)
    own = statistics.mean((before, after))
    result = _summary(answered) | {"in_process_texts_per_second": [before, after]}
    result["over_in_process"] = round(result["texts_per_second"] / own, 3)
    if memory:
        third = len(memory) // 3
        first, last = max(memory[:third]), max(memory[-third:])
        result["memory"] = {
            "first_third_mb": round(first / 1e6, 1),
            "last_third_mb": round(last / 1e6, 1),
            "growth": round(last / first, 4),
        }
    return result


def overload(
    asked: argparse.Namespace, cases: Sequence[Case], found: dict[str, Any]
) -> dict[str, Any]:
    """Requests that arrive twice as fast as they can be answered, whatever becomes of them."""
    normal = found.get("steady") or steady(asked, cases, found)
    rate = 2 * normal["answers_per_second"]
    with ServerProcess(asked.model) as server:
        asyncio.run(ask_in_turn(server.url, cases, asked.clients, asked.seconds / 6))
        answered = asyncio.run(ask_at_a_rate(server.url, cases, rate, asked.seconds))
        after = asyncio.run(ask_in_turn(server.url, cases, 1, 5.0))
    result = _summary(answered) | {"requests_per_second": round(rate, 2)}
    result["p95_over_normal"] = round(result["p95_seconds"] / normal["p95_seconds"], 3)
    result["right_afterwards"] = all(one.right for one in after) and bool(after)
    return result


def stop(asked: argparse.Namespace, cases: Sequence[Case], _: dict[str, Any]) -> dict[str, Any]:
    """SIGTERM while all clients ask."""
    with ServerProcess(asked.model) as server:
        timer = threading.Timer(asked.seconds / 4, server.terminate)
        timer.start()
        answered = asyncio.run(
            ask_in_turn(
                server.url, cases, asked.clients, asked.seconds / 2, give_up_when_refused=True
            )
        )
        timer.join()
        status = server.wait()
        served = server.logged_answers()
    result = _summary(answered)
    result |= {
        "exit_status": status,
        "answers_that_the_server_logged": served,
        "all_of_them_arrived": served == result["answers"],
    }
    return result


def _in_process(asked: argparse.Namespace, cases: Sequence[Case], seconds: float) -> float:
    """Texts a second of one caller with large calls: what the machine can do without a server."""
    from rag_rerankers import Reranker

    reranker = Reranker(asked.model)
    texts = [text for case in cases[: asked.clients // 2] for text in case.texts]
    reranker.rank(cases[0].query, texts)
    done, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        reranker.rank(cases[0].query, texts)
        done += len(texts)
    return round(done / (time.perf_counter() - start), 2)


def _summary(answered: Sequence[Answered]) -> dict[str, Any]:
    good = [one for one in answered if one.status == 200]
    seconds = sorted(one.seconds for one in good)
    if not good:
        raise SystemExit(f"no answer at all: {answered[:3]}")
    span = max(one.at for one in good) - min(one.at - one.seconds for one in good)
    statuses: dict[str, int] = {}
    for one in answered:
        statuses[str(one.status or one.error)] = statuses.get(str(one.status or one.error), 0) + 1
    refused = [one for one in answered if one.status == 503]
    return {
        "answers": len(good),
        "statuses": statuses,
        "wrong": sum(not one.right for one in good),
        "without_retry_after": sum(one.retry_after is None for one in refused),
        "answers_per_second": round(len(good) / span, 3),
        "texts_per_second": round(EACH * len(good) / span, 2),
        "p50_seconds": round(statistics.median(seconds), 3),
        "p95_seconds": round(_quantile(seconds, 0.95), 3),
        "p99_seconds": round(_quantile(seconds, 0.99), 3),
        "refused_p95_seconds": (
            round(_quantile(sorted(one.seconds for one in refused), 0.95), 4) if refused else None
        ),
    }


def _quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


PARTS = {"steady": steady, "overload": overload, "stop": stop}

if __name__ == "__main__":
    main()
