"""The peers' environments: ``.venv-NAME`` from ``benchmarks/requirements-NAME.txt``.

``requirements-NAME-no-deps.txt``, where there is one, is installed without what it asks for.
"""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path

from benchmarks.places import HERE, ROOT
from benchmarks.process import WorkerError, plain

__all__ = ["python_of"]


@cache
def python_of(venv: str) -> Path:
    """The interpreter of an environment, which is made if it is missing.

    Raises:
        WorkerError: It cannot be made.
    """
    if venv == "main":
        return Path(sys.executable)
    folder, needs = ROOT / f".venv-{venv}", HERE / f"requirements-{venv}.txt"
    python, stamp = folder / "bin" / "python", folder / ".installed"
    if not needs.exists():
        raise WorkerError(f"benchmarks/{needs.name} is missing")
    if python.exists() and stamp.exists() and stamp.stat().st_mtime >= needs.stat().st_mtime:
        return python
    _say(f"setting up .venv-{venv} from benchmarks/{needs.name} (once) ...")
    if not python.exists():
        _run([sys.executable, "-m", "venv", str(folder)])
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    # The same torch for everybody, unless a peer's own requirements say otherwise.
    _run([*pip, "--constraint", str(ROOT / "constraints.txt"), "torch"])
    _run([*pip, "--requirement", str(needs)])
    alone = HERE / f"requirements-{venv}-no-deps.txt"
    if alone.exists():
        _run([*pip, "--no-deps", "--requirement", str(alone)])
    stamp.touch()
    return python


def _run(command: list[str]) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        _say(done.stderr[-2000:])
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise WorkerError(plain(f"its environment cannot be made: {' '.join(said[-1:])}"))


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
