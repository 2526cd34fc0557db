"""What a browser makes of a page that opens from disk."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from html import escape, unescape
from pathlib import Path
from typing import Any

__all__ = ["BROWSER", "Seen", "browse", "measured"]

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-dev-shm-usage", "--hide-scrollbars"),
    "--host-resolver-rules=MAP * ~NOTFOUND",  # no network, not even a name
    *("--enable-logging=stderr", "--v=0"),
)
# Windows of browsers have a least width of 500 pixels, frames have none.
FRAME = '<iframe style="border: 0; width: {width}px; height: 2000px" srcdoc="{page}"></iframe>'
MEASURE = """<script>
const measure = frame => {
  const page = frame.contentDocument, view = frame.contentWindow;
  const all = selector => [...page.querySelectorAll(selector)];
  // What can be scrolled within its own box may stick out.
  const out = all("body *").filter(one => !one.closest(".wide table") && !one.closest("svg *") &&
    one.getBoundingClientRect().right > view.innerWidth + 1);
  return {
    width: view.innerWidth,
    scroll: page.documentElement.scrollWidth,
    out: out.map(one => one.tagName),
    figures: all("figure > svg").length,
    rows: all("tbody tr").length,
    smallest: Math.min(...all("svg text").map(one => {
      const svg = one.ownerSVGElement;
      const scale = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
      return parseFloat(getComputedStyle(one).fontSize) * scale;
    })),
  };
};
addEventListener("load", () => {
  const frames = [...document.querySelectorAll("iframe")];
  document.documentElement.dataset.measured = JSON.stringify(frames.map(measure));
});
</script>"""


@dataclass(frozen=True)
class Seen:
    """What a browser made of a page."""

    dom: str
    console: list[str]


def browse(page: Path, profile: Path) -> Seen:
    """Open a page, with nothing on the network to be found.

    Args:
        page: The file.
        profile: A folder for the browser's own files.
    """
    assert BROWSER is not None
    done = subprocess.run(
        [
            *(BROWSER, *FLAGS, f"--user-data-dir={profile}", "--window-size=1250,900"),
            *("--dump-dom", page.as_uri()),
        ],
        capture_output=True,
        timeout=60,
        check=True,
    )
    told = done.stderr.decode("utf-8", "replace").splitlines()
    lines = [line for line in told if re.search(r"\bCONSOLE[:(]\d", line)]
    return Seen(done.stdout.decode("utf-8", "replace"), lines)


def measured(html: str, folder: Path, *widths: int) -> list[dict[str, Any]]:
    """What windows of these widths would show of the page."""
    path = folder / "frames.html"
    frames = [FRAME.format(width=width, page=escape(html)) for width in widths]
    path.write_text("".join(["<!doctype html>", *frames, MEASURE]), encoding="utf-8")
    found = re.search(r'data-measured="([^"]*)"', browse(path, folder / "profile").dom)
    assert found, "the page was not measured"
    told: list[dict[str, Any]] = json.loads(unescape(found[1]))
    return told
