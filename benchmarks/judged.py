"""What the project promises about its speed, and what was measured."""

from __future__ import annotations

import statistics
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from benchmarks.compared import Row, rows
from benchmarks.contestants import FLOOR, OURS
from benchmarks.figures import Spread, line, percentile, spread
from benchmarks.store import Part, Store
from benchmarks.stored import medians, share_of_first
from benchmarks.sweep import best

__all__ = ["ARTICLE", "Judged", "judged"]

ARTICLE = "article_loop"
"""Key of the loop that the article shows."""
REAL_WEIGHTS = "minilm-maxsim"
"""The model whose weights are not random, so that its rankings mean something."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One promise.

    Attributes:
        what: What it is about.
        target: What it promises.
        measured: What was found.
        kept: Whether that is enough.
    """

    what: str
    target: str
    measured: str
    kept: bool


@dataclass(frozen=True, slots=True)
class _Other:
    """Somebody else in a configuration, and its time over this project's at its best."""

    peer: str
    config: str
    dtype: str
    ratio: Spread
    who: str


def judged(store: Store) -> list[Judged]:
    """Every promise that something was measured for."""
    return [
        *_against_peers(store),
        *_equal_dtype(store),
        *_concurrent(store),
        *_linear(store),
        *_memory(store),
        *_cascade(store),
        *_stored(store),
    ]


def _against_peers(store: Store) -> Iterator[Judged]:
    part = store.get("cpu/bge/50")
    if part is None:
        return
    found = [row for row in rows(part) if row.peer != OURS]
    peers = list(_others(row for row in found if row.peer != ARTICLE))
    tried = _tried_only(store, {(row.peer, row.config) for row in found})
    where = "bge, 50 candidates: "
    fastest = where + "the fastest peer at its best"
    faithful = _as_faithful(store, [*peers, *tried])
    yield from _least(f"{fastest}, at equal or better fidelity", 1.2, faithful)
    yield from _least(f"{fastest}, of any fidelity", 1.2, peers)
    article = _others(row for row in found if row.peer == ARTICLE)
    yield from _least(where + "the article's loop", 4, article)
    defaults = (row for row in found if "defaults" in row.roles and row.peer != ARTICLE)
    yield from _least(where + "peers at their defaults", 4, _others(defaults))


def _others(found: Iterable[Row]) -> Iterator[_Other]:
    for row in found:
        if row.to_best is not None:
            who = f"{row.name}, {row.config}"
            yield _Other(row.peer, row.config, row.dtype, row.to_best, who)


def _tried_only(store: Store, measured: Collection[tuple[str, str]]) -> Iterator[_Other]:
    """What the sweep ran and the heats did not, on the sweep's fewer candidates.

    The fastest at a dtype is measured; who is slower may be more faithful.
    """
    own = best((store.get(f"sweep/bge/{OURS}") or {"tries": []})["tries"])
    if own is None:
        return
    for key, part in store.under("sweep/bge"):
        for one in part["tries"] if key not in (OURS, FLOOR, ARTICLE) else ():
            if not one.get("error") and (key, one["config"]) not in measured:
                ratio = spread([t / statistics.median(own["seconds"]) for t in one["seconds"]])
                who = f"{part['name']}, {one['config']}, in the sweep of {part['candidates']}"
                yield _Other(key, one["config"], one["dtype"], ratio, who)


def _as_faithful(store: Store, peers: list[_Other]) -> list[_Other]:
    """Peers whose rankings are at least as close to float32's as this project's.

    Judged with real weights; who was not compared there counts as faithful.
    """
    compared = (store.get(f"fidelity/{REAL_WEIGHTS}") or {}).get("rows", [])
    taus: dict[tuple[str, str], float] = {}
    for row in compared:
        if "error" not in row:
            # Of a configuration that was not compared, the best of its dtype speaks.
            for of in (row["config"], row["dtype"]):
                key = (row["peer"], of)
                taus[key] = max(row["tau"], taus.get(key, -1.0))
    own = min((tau for (peer, _), tau in taus.items() if peer == OURS), default=-1.0)

    def tau(one: _Other) -> float:
        return taus.get((one.peer, one.config), taus.get((one.peer, one.dtype), 1.0))

    return [one for one in peers if tau(one) >= own]


def _least(what: str, target: float, found: Iterable[_Other]) -> Iterator[Judged]:
    """The one that comes closest to this project."""
    closest = min(found, key=lambda one: one.ratio.median, default=None)
    if closest is not None:
        ratio = closest.ratio
        measured = f"{ratio.median:.2f}x ({ratio.low:.2f} to {ratio.high:.2f}; {closest.who})"
        yield Judged(what, f"at least {target:g}x its time", measured, ratio.median >= target)


def _equal_dtype(store: Store) -> Iterator[Judged]:
    """One line a model: the smallest ratio of all sizes and peers."""
    by_model: dict[str, list[tuple[float, str, Row]]] = {}
    for key, part in store.under("cpu"):
        model, _, size = key.partition("/")
        for row in rows(part):
            if row.peer != OURS and row.to_equal is not None:
                by_model.setdefault(model, []).append((row.to_equal.median, size, row))
    for model, found in sorted(by_model.items()):
        ratio, size, row = min(found, key=lambda item: item[0])
        sizes = ", ".join(sorted({size for _, size, _ in found}, key=int))
        yield Judged(
            f"{model}, {sizes} candidates: never slower at equal dtype",
            "at least 1x everybody's time",
            f"{ratio:.2f}x ({row.name}, {row.config}, {size} candidates)",
            ratio >= 1,
        )


def _concurrent(store: Store) -> Iterator[Judged]:
    for model, part in store.under("concurrency"):
        if "error" in part:
            continue
        runs, callers = part["runs"], part["callers"]
        where = f"{model}, {callers} callers"
        rate = {
            name: run["texts"] / statistics.median(run["seconds"]) for name, run in runs.items()
        }
        for way, name in (("threads", f"threads/{callers}"), ("asyncio", "asyncio")):
            share = rate[name] / rate["one caller"]
            who = f"{where} with {part['each']} candidates each, {way}"
            yield Judged(
                f"{who}: throughput of one caller with all", ">= 0.9", f"{share:.2f}", share >= 0.9
            )
            latencies = runs[name]["latencies"]
            tail = percentile(latencies, 0.99) / statistics.median(latencies)
            yield Judged(f"{who}: p99 over p50", "< 3", f"{tail:.2f}", tail < 3)
            gain = rate[f"short, {way}"] / rate["short, one after another"]
            yield Judged(
                f"{where} with one short candidate each, {way}: over one after another",
                ">= 1.5x",
                f"{gain:.2f}x",
                gain >= 1.5,
            )


def _linear(store: Store) -> Iterator[Judged]:
    for model, part in store.under("linearity"):
        if "error" in part:
            continue
        fitted = fit(part)
        sizes = [point["candidates"] for point in part["points"]]
        yield Judged(
            f"{model}: linear in the tokens, {sizes[0]} to {sizes[-1]} candidates",
            "r2 >= 0.99",
            f"{fitted:.4f}",
            fitted >= 0.99,
        )


def fit(part: Part) -> float:
    """How much of the time a straight line over the tokens explains."""
    points = part["points"]
    times = [statistics.median(point["seconds"]) for point in points]
    return line([point["tokens"] for point in points], times).r2


def _memory(store: Store) -> Iterator[Judged]:
    for model, part in store.under("memory"):
        if "error" in part:
            continue
        few, many = sorted(part["counts"], key=int)
        ratio = part["counts"][many]["peak"] / part["counts"][few]["peak"]
        yield Judged(
            f"{model}: peak memory of {int(many):,} texts over {few}",
            "<= 1.2x",
            f"{ratio:.2f}x",
            ratio <= 1.2,
        )


def _cascade(store: Store) -> Iterator[Judged]:
    for model, part in store.under("cascade"):
        if "error" in part:
            continue
        alone = spread(part["seconds"]["alone"]).median
        for name, seconds in sorted(part["seconds"].items()):
            if name != "alone":
                gain = alone / spread(seconds).median
                yield Judged(
                    f"{model} behind {name}, {part['keep']} of {part['candidates']} kept",
                    "faster than alone",
                    f"{gain:.2f}x",
                    gain > 1,
                )


def _stored(store: Store) -> Iterator[Judged]:
    for model, part in store.under("stored"):
        # Promised for ColBERT's size: others have other vectors and queries.
        if "error" in part or model != "colbert":
            continue
        times = medians(part)
        where = f"{model}, {part['candidates']} candidates from the store"
        warm = times["warm"] / times["query"]
        yield Judged(f"{where}: over the query alone", "<= 1.3x", f"{warm:.2f}x", warm <= 1.3)
        cold = times["cold"] / times["warm"]
        yield Judged(f"{where}: against new texts", "at least 30x", f"{cold:.0f}x", cold >= 30)
        for config, seconds in part["llama_index"].items():
            if config != "error":
                gain = statistics.median(seconds) / times["warm"]
                who = f"{where}: against LlamaIndex's ColbertRerank, {config}"
                yield Judged(who, "at least 100x", f"{gain:.0f}x", gain >= 100)
        single = 1000 * statistics.median(part["maxsim"]["int8"])
        yield Judged(
            f"{model}: MaxSim over 50 stored documents of 180 tokens, one core",
            "<= 3 ms",
            f"{single:.2f} ms",
            single <= 3,
        )
        share = share_of_first(part)
        changed = part["warming"]["changed"] / part["warming"]["texts"]
        yield Judged(
            f"{model}: warming again with {changed:.0%} changed, over {changed:.0%} of the first",
            "<= 1.2x",
            f"{share:.2f}x",
            share <= 1.2,
        )
