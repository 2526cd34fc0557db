"""Writes the page of some results: ``benchmarks/README.md`` from ``speed.json``."""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from benchmarks.compared import failures, floor_rates, rows
from benchmarks.contestants import OURS
from benchmarks.environment import SHOWN
from benchmarks.figures import Spread, line, percentile, spread
from benchmarks.judged import judged
from benchmarks.models import NAMES, TITLES
from benchmarks.places import HERE, images_of, page_of, published
from benchmarks.store import Part, Store

__all__ = ["page", "write"]


def write(store: Store) -> None:
    """Write the page."""
    path = page_of(store.path)
    path.write_text(page(store), "utf-8")
    print(f"written: {path.name}")


def page(store: Store) -> str:
    """The page as text."""
    templates = Environment(
        loader=FileSystemLoader(HERE),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
        keep_trailing_newline=True,
    )
    templates.filters["spread"] = _spread
    beside = store.path.parent
    return templates.get_template("speed.md.j2").render(
        results=store.path.name,
        drawings=f"{Path(os.path.relpath(images_of(store.path), beside)).as_posix()}/"
        f"{store.path.stem}",
        others=list(_others(store.path)),
        judged=judged(store),
        machines=dict(store.under("machine")),
        versions=dict(_versions(store)),
        models=[model for model in (_model(store, name) for name in NAMES) if model],
        sweeps=list(_sweeps(store)),
        concurrency=list(_concurrency(store)),
        linearity=list(_linearity(store)),
        memory=list(_memory(store)),
        fidelity=[(m, part) for m, part in store.under("fidelity") if "error" not in part],
        cascade=[(m, part) for m, part in store.under("cascade") if "error" not in part],
        stored=[(m, _stored(part)) for m, part in store.under("stored") if "error" not in part],
        compression=list(store.under("compression")),
        gpu=[(m, _gpu(part)) for m, part in store.under("gpu") if "error" not in part],
        missing=[
            (key, part["error"]) for key, part in sorted(store.parts.items()) if "error" in part
        ],
        quick=sorted(key for key, part in store.parts.items() if part.get("quick")),
    )


def _others(results: Path) -> Iterator[tuple[str, str]]:
    """Machines and pages of the other published results."""
    if results in published():
        for path in published():
            if path != results and path.exists():
                names = {part["machine"] for _, part in Store(path).under("cpu")}
                yield ", ".join(sorted(names)), page_of(path).name


def _spread(found: Spread | None, digits: int = 2) -> str:
    """``1.23 (1.20 to 1.31)``."""
    if found is None:
        return ""
    middle = f"{found.median:.{digits}f}"
    return f"{middle} ({found.low:.{digits}f} to {found.high:.{digits}f})"


def _model(store: Store, name: str) -> dict[str, Any] | None:
    sizes = []
    for size, part in store.under(f"cpu/{name}"):
        found = rows(part)
        sizes.append(
            {
                "size": int(size),
                "part": part,
                "rows": found,
                "ours": OURS,
                "failures": list(failures(part)),
                "floors": floor_rates(part),
            }
        )
    return {"name": name, "title": TITLES[name], "sizes": sizes} if sizes else None


def _versions(store: Store) -> Iterator[tuple[str, dict[str, str]]]:
    for key, found in store.under("versions"):
        yield key, {name: found[name] for name in SHOWN if name in found}


def _sweeps(store: Store) -> Iterator[dict[str, Any]]:
    for key, part in store.under("sweep"):
        tries = [
            {**one, "median": statistics.median(one["seconds"]) if "seconds" in one else None}
            for one in part["tries"]
        ]
        tries.sort(key=lambda one: (one["median"] is None, one["median"] or 0.0))
        yield {"model": key.partition("/")[0], **part, "tries": tries}


def _concurrency(store: Store) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    for model, part in store.under("concurrency"):
        if "error" not in part:
            yield (
                model,
                [
                    {
                        "name": name,
                        "rate": run["texts"] / statistics.median(run["seconds"]),
                        "p50": 1000 * statistics.median(run["latencies"]),
                        "p99": 1000 * percentile(run["latencies"], 0.99),
                    }
                    for name, run in sorted(part["runs"].items(), key=_by_callers)
                ],
            )


def _by_callers(item: tuple[str, object]) -> tuple[str, int]:
    name, _, callers = item[0].partition("/")
    return name, int(callers or 0)


def _linearity(store: Store) -> Iterator[tuple[str, dict[str, Any]]]:
    for model, part in store.under("linearity"):
        if "error" not in part:
            points = part["points"]
            times = [statistics.median(point["seconds"]) for point in points]
            yield model, {**part, "line": line([point["tokens"] for point in points], times)}


def _memory(store: Store) -> Iterator[tuple[str, str, int, int]]:
    for model, part in store.under("memory"):
        if "error" not in part:
            for count, found in sorted(part["counts"].items(), key=lambda item: int(item[0])):
                yield model, count, found["loaded"], found["peak"]


def _stored(part: Part) -> list[tuple[str, Spread]]:
    """Milliseconds of each run."""
    runs = {name: part["seconds"][name] for name in ("query", "warm", "disk", "cold")}
    runs |= {f"MaxSim, {name}": times for name, times in part["maxsim"].items()}
    runs |= {
        f"LlamaIndex ColbertRerank, {name}": times
        for name, times in part["llama_index"].items()
        if name != "error"
    }
    return [(name, spread([1000 * one for one in times])) for name, times in runs.items()]


def _gpu(part: Part) -> dict[str, Any]:
    """Rows with spreads, and the share of the product's rate."""
    found = []
    for row in part["rows"]:
        seconds = spread(row["seconds"])
        rate = row["tokens"] * part["flops_per_token"] / seconds.median
        found.append(
            {**row, "seconds": seconds, "share": rate / part["product_flops"][row["dtype"]]}
        )
    return {**part, "rows": found}
