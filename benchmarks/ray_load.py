"""A collection scored on a local Ray with two workers, one of which is killed midway.

    python -m benchmarks.ray_load [--rows 20000] [--model minilm-maxsim] [--kill worker|driver]

Passages are those of a data set, or are cut from Python's documentation. What must come out: every
row, once, with the score that it has in one process. The result goes to ``benchmarks/ray.json``.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.candidates import pool
from benchmarks.environment import machine
from benchmarks.places import DATA, HERE, ROOT
from rag_rerankers import ModelOptions, Reranker
from rag_rerankers.distributed import Report, score_parquet

__all__ = ["main"]

PASSAGES = DATA.parent / "trec-dl19-pool"
QUERIES = 20
WORKERS = 2
COMPARED = 100


def main() -> None:
    """Make the input, score it with a kill in between, and look at what came out."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--model", default="minilm-maxsim")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--words", type=int, help="cut the passages to so many")
    parser.add_argument("--part-rows", type=int, default=500)
    parser.add_argument("--kill", choices=("worker", "driver", "nobody"), default="worker")
    parser.add_argument("--store", type=Path, default=HERE / "ray.json")
    parser.add_argument("--drive", nargs=2, metavar=("INPUT", "OUTPUT"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.drive:
        _score(Path(asked.drive[0]), Path(asked.drive[1]), asked)
        return
    with tempfile.TemporaryDirectory() as folder:
        source, output = Path(folder, "in.parquet"), Path(folder, "out")
        _write(source, asked.rows, asked.words)
        started = time.monotonic()
        killed = _Killing(output, -(-asked.rows // asked.part_rows) // 2)
        if asked.kill == "driver":
            killed.run(lambda: _drive(source, output, asked))
        elif asked.kill == "worker":
            threading.Thread(target=killed.run, args=(_some_worker,), daemon=True).start()
        report = _score(source, output, asked)
        found = _look(source, output, asked.model, asked.dtype) | {
            "killed": asked.kill,
            "killed after parts": killed.parts,
            "parts": report.parts,
            "parts of the first run": report.present,
            "seconds": round(time.monotonic() - started, 1),
            "tokens": report.tokens,
            "workers": WORKERS,
            "model": asked.model,
            "dtype": asked.dtype,
            "words": asked.words,
        }
    print(json.dumps(found, indent=1))
    kept = json.loads(asked.store.read_text("utf-8")) if asked.store.exists() else {}
    kept[f"{asked.kill} killed, {asked.rows} rows, {asked.model}"] = found
    kept["machine"] = machine()
    asked.store.write_text(json.dumps(kept, indent=1) + "\n", "utf-8")


def _score(source: Path, output: Path, asked: argparse.Namespace) -> Report:
    import ray

    ray.init(
        num_cpus=WORKERS,
        include_dashboard=False,
        object_store_memory=200_000_000,
        log_to_driver=False,
    )
    try:
        options = ModelOptions(device="cpu", dtype=asked.dtype)
        return score_parquet(
            source,
            output,
            model=asked.model,
            options=options,
            workers=WORKERS,
            part_rows=asked.part_rows,
        )
    finally:
        ray.shutdown()


def _drive(source: Path, output: Path, asked: argparse.Namespace) -> int:
    """Another process that drives the run; its id."""
    arguments = ["--model", asked.model, "--dtype", asked.dtype]
    arguments += ["--part-rows", str(asked.part_rows)]
    command = [sys.executable, "-m", "benchmarks.ray_load", *arguments]
    return subprocess.Popen([*command, "--drive", str(source), str(output)], cwd=ROOT).pid


class _Killing:
    """Kills a process as soon as half of the parts are there.

    Attributes:
        parts: How many there were; None before that.
    """

    def __init__(self, output: Path, half: int) -> None:
        self._output = output
        self._half = half
        self.parts: int | None = None

    def run(self, victim: Any) -> None:
        """Choose whom to kill when it is time; a process that is started is chosen at once."""
        chosen = victim() if victim is not _some_worker else None
        while (there := len(list(self._output.glob("*.parquet")))) < self._half:
            time.sleep(0.05)
        os.kill(_some_worker() if chosen is None else chosen, signal.SIGKILL)
        if chosen is not None:
            os.waitpid(chosen, 0)
        self.parts = there


def _some_worker() -> int:
    """A process of this process's Ray that scores."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            title = (folder / "cmdline").read_bytes()
        except OSError:
            continue  # it has ended meanwhile
        pid = int(folder.name)
        if title.startswith(b"ray::") and b"Worker" in title and os.getpid() in _ancestors(pid):
            return pid
    raise RuntimeError("there is no worker to kill")


def _ancestors(pid: int) -> Iterator[int]:
    while pid > 1:
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            return
        pid = int(stat.rsplit(")", 1)[1].split()[1])
        yield pid


def _write(path: Path, count: int, words: int | None) -> None:
    """Different passages with a few queries in turn."""
    import pyarrow as pa
    from pyarrow import parquet

    queries, texts = _texts()
    cut = [" ".join(text.split()[:words]) for text in texts]
    table = pa.table(
        {
            "id": range(count),
            "query": [queries[n % len(queries)] for n in range(count)],
            # Going round: the number makes it another text.
            "text": [
                cut[n] if n < len(cut) else f"{n // len(cut)} {cut[n % len(cut)]}"
                for n in range(count)
            ],
        }
    )
    parquet.write_table(table, path, row_group_size=5000)


def _texts() -> tuple[Sequence[str], Sequence[str]]:
    if not PASSAGES.is_dir():
        query, texts = pool(None)
        return [query], texts
    with gzip.open(PASSAGES / "corpus.jsonl.gz", "rt", encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line in lines]
    with (PASSAGES / "queries.jsonl").open(encoding="utf-8") as lines:
        queries = [json.loads(line)["text"] for line in lines][:QUERIES]
    return queries, texts


def _look(source: Path, output: Path, model: str, dtype: str) -> dict[str, Any]:
    """Count what came out, without the code that made it, and score some of it again."""
    from pyarrow import dataset, parquet

    given = parquet.read_table(source).to_pylist()
    rows = dataset.dataset(output, format="parquet").to_table().to_pylist()
    ids = Counter(row["id"] for row in rows)
    by_id = {row["id"]: row for row in rows}
    reranker = Reranker(model, device="cpu", dtype=dtype)
    step = max(1, len(given) // COMPARED)
    differences = [
        abs(reranker.rank(row["query"], [row["text"]])[0].score - by_id[row["id"]]["score"])
        for row in given[::step]
        if row["id"] in by_id
    ]
    return {
        "rows in": len(given),
        "rows out": len(rows),
        "rows that are there once": sum(ids[row["id"]] == 1 for row in given),
        "rows with another query or text": sum(
            (row["query"], row["text"]) != (by_id[row["id"]]["query"], by_id[row["id"]]["text"])
            for row in given
            if row["id"] in by_id
        ),
        "rows without a score": sum(row["score"] is None for row in rows),
        "largest difference to one process": max(differences, default=None),
        "rows compared": len(differences),
    }


if __name__ == "__main__":
    main()
