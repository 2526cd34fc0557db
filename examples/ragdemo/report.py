"""The records as one HTML page that opens from disk, without network or scripts."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ragdemo.plots import found_plot, gain_plot, means_plot, movement_plot
from ragdemo.record import MEASURES, Record, mean

__all__ = ["write_report"]


def write_report(path: Path, records: Sequence[Record], *, model: str, corpus: str) -> None:
    """Write the page.

    Args:
        path: The HTML file.
        records: One per question, at least one.
        model: Name of the reranker.
        corpus: What was searched, in words.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    before = mean(record.measures_before for record in records)
    after = mean(record.measures_after for record in records)
    kinds = sorted({record.kind for record in records})
    page = environment.get_template("report.html.j2").render(
        model=model,
        corpus=corpus,
        version=version("rag-rerankers"),
        records=records,
        measures=MEASURES,
        before=before,
        after=after,
        kinds=[(kind, [r for r in records if r.kind == kind]) for kind in kinds],
        mean=mean,
        plots=[
            ("Means over all questions", means_plot(records)),
            ("Change of each question", gain_plot(records)),
            ("Relevant passages among the first k", found_plot(records)),
            (
                "Movement of relevant passages: blue rose or stayed, amber fell; large dots "
                "answer the question (grade 2), small ones help (grade 1)",
                movement_plot(records),
            ),
        ],
        milliseconds=_median_milliseconds(records),
    )
    # Half a surrogate pair is no text in UTF-8: written as a reference, browsers take it.
    path.write_text(page, encoding="utf-8", errors="xmlcharrefreplace")


def _median_milliseconds(records: Sequence[Record]) -> dict[str, float]:
    stages = {stage for record in records for stage in record.seconds}
    return {
        stage: 1000 * median(r.seconds[stage] for r in records if stage in r.seconds)
        for stage in stages
    }
