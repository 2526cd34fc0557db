"""The page and the drawings say what the results say."""

from __future__ import annotations

import pytest

pytest.importorskip("jinja2", reason="needs the extra 'eval'")
pytest.importorskip("matplotlib", reason="needs the extra 'eval'")

from benchmarks.compared import floor_rates, rows
from benchmarks.judged import judged
from benchmarks.places import images_of, page_of, published
from benchmarks.plots import DRAWINGS, draw
from benchmarks.store import Store
from benchmarks.table import page, write


def _member(peer, config, dtype, seconds, *roles, **more):
    return {
        "peer": peer,
        "name": {"ours": "rag-rerankers"}.get(peer, peer.title()),
        "config": config,
        "dtype": dtype,
        "roles": list(roles),
        "seconds": seconds,
        "rss_peak": 2_000_000_000,
        "agreement": 0.9876,
        **more,
    }


def _store(tmp_path):
    store = Store(tmp_path / "speed.json")
    best = ("ours", "dtype='int8'", "int8", [10.0, 20.0, 10.0], "best", "best at int8")
    equal = ("ours", "defaults", "float32", [40.0, 60.0, 44.0], "defaults", "best at float32")
    first = [
        _member(*best),
        _member(*equal),
        _member("floor", "f", "float32", [20.0, 20.0, 20.0], "best at float32"),
        _member("slow", "defaults", "float32", [50.0, 90.0, 44.0], "defaults", "best"),
        _member("article_loop", "defaults", "float32", [80.0, 120.0, 70.0], "defaults", "best"),
    ]
    second = [
        _member(*best),
        _member("quick", "tuned", "int8", [15.0, 24.0, 15.0], "best"),
        {"peer": "gone", "name": "Gone", "config": "defaults", "dtype": "int8", "roles": []}
        | {"error": "cannot be installed"},
    ]
    part = {"candidates": 50, "tokens": 1000, "flops": 4e12, "rounds": 3, "left_out": ["Other"]}
    store.put("cpu/bge/50", {**part, "heats": [first, second], "quick": False})
    store.put("cpu/bge/10", {**part, "candidates": 10, "heats": [first], "quick": True})
    points = [{"candidates": n, "tokens": n * 100, "seconds": [n * 0.1]} for n in (10, 20, 50)]
    store.put("linearity/minilm-cross", {"points": points})
    runs = {
        f"threads/{n}": {"texts": 10 * n, "seconds": [1.0], "latencies": [0.5, 1.4]}
        for n in (1, 32)
    }
    runs["one caller"] = {"texts": 320, "seconds": [0.95], "latencies": [0.95]}
    runs["asyncio"] = {"texts": 320, "seconds": [1.9], "latencies": [0.1, 0.1, 0.1, 0.4]}
    for way, seconds in (("threads", 0.5), ("asyncio", 1.0), ("one after another", 1.0)):
        runs[f"short, {way}"] = {"texts": 32, "seconds": [seconds], "latencies": [0.1]}
    store.put("concurrency/minilm-cross", {"callers": 32, "each": 10, "runs": runs})
    counts = {"10000": {"loaded": 1e8, "peak": 3e8}, "100": {"loaded": 1e8, "peak": 2e8}}
    store.put("memory/minilm-cross", {"counts": counts})
    seconds = {"alone": [10.0, 12.0, 11.0], "minilm-maxsim": [4.0, 4.4, 5.0]}
    store.put("cascade/bge", {"candidates": 50, "keep": 15, "seconds": seconds})
    runs = {"query": [0.02], "warm": [0.025], "disk": [0.03], "cold": [1.0]}
    stored = {"candidates": 50, "seconds": runs, "maxsim": {"int8": [0.002, 0.004, 0.003]}}
    stored["llama_index"] = {"defaults": [2.0]}
    stored["warming"] = {"texts": 1000, "seconds": 50.0, "changed": 10, "again": 0.55}
    store.put("stored/colbert", stored)
    store.put("stored/minilm-maxsim", {"error": "nothing there"})
    change = {"before": 0.5, "after": 0.497, "low": -0.01, "high": 0.002}
    codecs = [{"compression": "float32", "bytes": 1536, "mean": 0.5, "change": None}]
    codecs += [{"compression": "int8", "bytes": 386, "mean": 0.497, "change": change}]
    codecs = [{**codec, "score_error": 0.01, "score_spread": 0.5} for codec in codecs]
    store.put("compression/some-data", {"rows": codecs})
    row = {"name": "rag-rerankers", "dtype": "float16", "candidates": 50, "tokens": 1000}
    gpu = {"device": "a GPU", "flops_per_token": 1e9, "product_flops": {"float16": 1e14}}
    store.put("gpu/bge", {**gpu, "rows": [{**row, "seconds": [0.02]}]})
    store.put("gpu/colbert", {"error": "torch sees no CUDA device"})
    machine = {"architecture": "x", "flags": ["avx2"], "memory_gib": 1.0}
    store.put("machine/A machine", {**machine, "system": "S", "python": "3"})
    store.put("versions/A machine/main", {"torch": "2.99", "irrelevant": "1"})
    tries = [{"config": "x", "dtype": "float32", "seconds": [1.25]}]
    store.put("sweep/bge/quick", {"name": "Quick", "candidates": 10, "tries": tries})
    return store


def test_rows_by_hand(tmp_path):
    part = _store(tmp_path).get("cpu/bge/50")
    found = {(row.peer, row.dtype): row for row in rows(part)}
    assert [row.peer for row in rows(part)] == ["ours", "quick", "ours", "slow", "article_loop"]
    slow = found["slow", "float32"]
    assert (slow.seconds.median, slow.tokens_per_second) == (50.0, 20.0)
    assert slow.to_best.median == 4.5  # 50/10, 90/20, 44/10 -> 4.4, 4.5, 5
    assert slow.to_equal.median == 1.25  # 50/40, 90/60, 44/44
    assert floor_rates(part) == {"float32": 2e11}
    assert slow.share == pytest.approx(0.4)  # 20 of 50 seconds
    assert found["quick", "int8"].share is None


def test_promises_by_hand(tmp_path):
    found = {one.what: (one.measured.split()[0], one.kept) for one in judged(_store(tmp_path))}
    many = "minilm-cross, 32 callers with 10 candidates each, "
    short = "minilm-cross, 32 callers with one short candidate each, "
    llama = "colbert, 50 candidates from the store: against LlamaIndex's ColbertRerank"
    fastest = "bge, 50 candidates: the fastest peer at its best"
    assert found == {
        f"{fastest}, at equal or better fidelity": ("1.50x", True),
        f"{fastest}, of any fidelity": ("1.50x", True),
        "bge, 50 candidates: the article's loop": ("7.00x", True),
        "bge, 50 candidates: peers at their defaults": ("4.50x", True),
        "bge, 10, 50 candidates: never slower at equal dtype": ("1.25x", True),
        f"{many}threads: throughput of one caller with all": ("0.95", True),
        f"{many}threads: p99 over p50": ("1.47", True),
        f"{short}threads: over one after another": ("2.00x", True),
        f"{many}asyncio: throughput of one caller with all": ("0.50", False),
        f"{many}asyncio: p99 over p50": ("4.00", False),
        f"{short}asyncio: over one after another": ("1.00x", False),
        "minilm-cross: linear in the tokens, 10 to 50 candidates": ("1.0000", True),
        "minilm-cross: peak memory of 10,000 texts over 100": ("1.50x", False),
        "bge behind minilm-maxsim, 15 of 50 kept": ("2.50x", True),
        "colbert, 50 candidates from the store: over the query alone": ("1.25x", True),
        "colbert, 50 candidates from the store: against new texts": ("40x", True),
        f"{llama}, defaults": ("80x", False),
        "colbert: MaxSim over 50 stored documents of 180 tokens, one core": ("3.00", True),
        # .55 s; one hundredth of 50 s is .5 s.
        "colbert: warming again with 1% changed, over 1% of the first": ("1.10x", True),
    }


@pytest.mark.parametrize(
    ("tau", "measured"),
    [(0.90, "4.50x"), (0.95, "1.50x"), (None, "1.50x")],  # less faithful, as faithful, unknown
)
def test_a_fast_peer_of_less_fidelity_is_told_apart(tmp_path, tau, measured):
    store = _store(tmp_path)
    same = {"dtype": "int8", "config": "x", "least_tau": 0.8, "top_10": 0.9}
    rows = [{"peer": "ours", "name": "rag-rerankers", "tau": 0.95, **same}]
    if tau is not None:
        rows.append({"peer": "quick", "name": "Quick", "tau": tau, **same})
    rows.append({"peer": "gone", "error": "cannot be installed"})
    store.put("fidelity/minilm-maxsim", {"rows": rows})
    found = {one.what: one.measured.split()[0] for one in judged(store)}
    fastest = "bge, 50 candidates: the fastest peer at its best"
    assert found[f"{fastest}, at equal or better fidelity"] == measured
    assert found[f"{fastest}, of any fidelity"] == "1.50x"


def test_a_configuration_that_was_compared_itself_speaks_for_itself(tmp_path):
    store = _store(tmp_path)
    rows = [
        {
            "peer": peer,
            "config": config,
            "dtype": "int8",
            "tau": tau,
            "least_tau": tau,
            "top_10": 1.0,
        }
        for peer, config, tau in [
            ("ours", "x", 0.95),
            ("quick", "y", 0.99),
            ("quick", "tuned", 0.9),
        ]
    ]
    store.put("fidelity/minilm-maxsim", {"rows": rows})
    found = {one.what: one.measured.split()[0] for one in judged(store)}
    fastest = "bge, 50 candidates: the fastest peer at its best"
    assert found[f"{fastest}, at equal or better fidelity"] == "4.50x"


@pytest.mark.parametrize(
    ("tuned", "careful", "measured"),
    [(0.9, 0.94, "4.50x"), (0.9, 0.96, "1.30x"), (0.96, 0.94, "1.50x")],
)
def test_a_faithful_configuration_of_the_sweep_is_not_forgotten(tmp_path, tuned, careful, measured):
    store = _store(tmp_path)
    of = {"least_tau": 0.8, "top_10": 0.9, "dtype": "int8"}
    found = [("ours", "x", 0.95), ("quick", "tuned", tuned), ("quick", "careful", careful)]
    rows = [{"peer": peer, "config": config, "tau": t, **of} for peer, config, t in found]
    store.put("fidelity/minilm-maxsim", {"rows": rows})
    tries = [{"config": "x", "dtype": "int8", "seconds": [8.0, 12.0]}]
    store.put("sweep/bge/ours", {"name": "rag-rerankers", "candidates": 10, "tries": tries})
    tries = [
        {"config": "tuned", "dtype": "int8", "seconds": [11.0]},  # in a heat, which counts
        {"config": "careful", "dtype": "int8", "seconds": [12.0, 14.0]},
        {"config": "broken", "dtype": "int8", "error": "did not load"},
    ]
    store.put("sweep/bge/quick", {"name": "Quick", "candidates": 10, "tries": tries})
    for key in ("floor", "article_loop"):  # are no peers
        tries = [{"config": "a", "dtype": "int8", "seconds": [1.0]}]
        store.put(f"sweep/bge/{key}", {"name": key, "candidates": 10, "tries": tries})
    (line,) = [one for one in judged(store) if "better fidelity" in one.what]
    assert line.measured.split()[0] == measured
    assert ("Quick, careful, in the sweep of 10" in line.measured) is (measured == "1.30x")


def test_the_page_holds_what_was_measured_and_what_was_not(tmp_path):
    text = page(_store(tmp_path))
    for expected in (
        "| Slow | defaults | float32 | 50.000 (44.000 to 90.000) | 20 | 40% | 4.50 (4.40 to 5.00)",
        "Not measured: Gone, defaults: cannot be installed.",
        "Left out, as slower: Other.",
        "* gpu/colbert: torch sees no CUDA device",
        "measured with `--quick`: cpu/bge/10.**",
        "A machine/main: torch 2.99",
        "float32 200 GFLOP/s",
        "| x | float32 | 1.250 |",
        "| rag-rerankers | float16 | 50 | 20.0 (20.0 to 20.0) | 50% |",
        "| colbert | warm | 25.00 (25.00 to 25.00) |",
        "| colbert | LlamaIndex ColbertRerank, defaults | 2000.00 (2000.00 to 2000.00) |",
        "* stored/minilm-maxsim: nothing there",
        "| some-data | int8 | 386 | 0.0200 | 0.4970 | -0.0030 | -0.0100 to +0.0020 |",
        "| some-data | float32 | 1536 | 0.0200 | 0.5000 |  |  |",
    ):
        assert expected in text
    assert "irrelevant" not in text


def test_drawings_are_the_same_every_time_and_carry_no_date(tmp_path):
    store = _store(tmp_path)
    first, again = draw(store, tmp_path / "a"), draw(store, tmp_path / "b")
    assert [path.stem for path in first] == [f"speed-{name}" for name in DRAWINGS]
    for one, other in zip(first, again, strict=True):
        text = one.read_text("utf-8")
        assert text == other.read_text("utf-8")
        assert "<dc:date>" not in text
    assert "Slow, best" in first[0].read_text("utf-8")
    assert "Quick, tuned" in first[-1].read_text("utf-8")


def test_nothing_is_drawn_of_what_was_not_measured(tmp_path):
    assert draw(Store(tmp_path / "none.json"), tmp_path / "a") == []
    assert "no data" not in page(Store(tmp_path / "none.json"))


@pytest.mark.parametrize("results", published(), ids=lambda path: path.name)
def test_the_published_pages_and_drawings_are_those_of_the_results(results, tmp_path):
    store = Store(results)
    assert page_of(results).read_text("utf-8") == page(store)
    for path in draw(store, tmp_path):
        assert path.read_bytes() == (images_of(results) / path.name).read_bytes(), path.name


def test_results_of_other_machines_have_pages_and_drawings_beside_them(tmp_path):
    store = _store(tmp_path)
    write(store)
    text = (tmp_path / "speed.md").read_text("utf-8")
    assert "![Throughput at 50 candidates](./speed-throughput.svg)" in text
    draw(store)
    assert (tmp_path / "speed-throughput.svg").exists()
