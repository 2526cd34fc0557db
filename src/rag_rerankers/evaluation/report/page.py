"""An evaluation as one HTML page that opens from disk, without network or scripts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from rag_rerankers.evaluation.comparison import Comparison
from rag_rerankers.evaluation.report.cases import Case, cases_of
from rag_rerankers.evaluation.report.plot import Plot
from rag_rerankers.evaluation.report.plots import agreement_plots, group_plot, recall_plot
from rag_rerankers.evaluation.report.query_plots import gain_plot, movement_plot
from rag_rerankers.evaluation.report.svg import FEATURE, clean
from rag_rerankers.evaluation.report.tables import (
    Table,
    article_table,
    cost_table,
    difference_table,
    group_tables,
    quality_table,
)
from rag_rerankers.evaluation.report.tradeoff_plot import interval_plot, tradeoff_plot
from rag_rerankers.evaluation.report.words import counted, isolated, number, signed, verdict
from rag_rerankers.evaluation.results import Evaluation, System
from rag_rerankers.evaluation.significance import Difference
from rag_rerankers.extras import needed

if TYPE_CHECKING:
    from jinja2 import Template

__all__ = ["render_page", "write_page"]


@dataclass(frozen=True)
class _Model:
    """What the page tells of one model."""

    name: str
    verdict: str
    difference: Difference
    p50: float | None
    plots: tuple[Plot, ...]
    gained: Sequence[Case]
    lost: Sequence[Case]


@dataclass(frozen=True)
class _Groups:
    """What the page tells of the groups of one field."""

    field: str
    plots: tuple[Plot, ...]
    table: Table


def write_page(path: Path, evaluation: Evaluation, *, cases: int = 10) -> None:
    """Write the page: pictures, tables, and the queries behind them.

    Args:
        path: The HTML file.
        evaluation: What was found out.
        cases: How many queries that gained most, and how many that lost most, are shown with
            their passages for each model.

    Raises:
        ValueError: ``cases`` is negative.
        MissingExtraError: The extra ``eval`` is not installed.
        OSError: The file cannot be written.
    """
    path.write_text(render_page(evaluation, cases=cases), encoding="utf-8")


def render_page(evaluation: Evaluation, *, cases: int = 10) -> str:
    """The page as text; the arguments are those of :func:`write_page`."""
    if cases < 0:
        raise ValueError(f"cases must be 0 or more, not {cases}")
    page: str = _template().render(
        evaluation=evaluation,
        collection=evaluation.collection,
        judgments=sum(map(len, evaluation.collection.qrels.values())),
        measure=evaluation.measures[0],
        models=[
            _model(evaluation, model, place, cases)
            for place, model in enumerate(evaluation.models, 1)
        ],
        plots=[
            plot
            for plot in (
                tradeoff_plot(evaluation) or interval_plot(evaluation),
                recall_plot(evaluation),
            )
            if plot is not None
        ],
        agreement=agreement_plots(evaluation),
        agreed=_agreed(evaluation.agreement),
        groups=_groups(evaluation),
        tables=_tables(evaluation),
    )
    return clean(page)


@cache
def _template() -> Template:
    jinja = needed("jinja2", FEATURE)
    environment = jinja.Environment(
        autoescape=True, undefined=jinja.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(number=number, signed=signed)
    environment.globals.update(counted=counted)
    source = files(__package__).joinpath("page.html.j2").read_text(encoding="utf-8")
    template: Template = environment.from_string(source)
    return template


def _model(evaluation: Evaluation, model: System, place: int, cases: int) -> _Model:
    gained, lost = cases_of(evaluation, model, cases)
    return _Model(
        name=model.name,
        verdict=verdict(evaluation, model),
        difference=evaluation.difference(evaluation.measures[0], model.name),
        p50=model.cost.query.p50 if model.cost else None,
        plots=(
            gain_plot(evaluation, model, f"gain-{place}"),
            movement_plot(evaluation, model, f"movement-{place}"),
        ),
        gained=gained,
        lost=lost,
    )


def _groups(evaluation: Evaluation) -> list[_Groups]:
    return [
        _Groups(
            field,
            tuple(
                group_plot(evaluation, field, model, f"group-{at}-{place}")
                for place, model in enumerate(evaluation.models, 1)
            ),
            table,
        )
        for at, (field, table) in enumerate(
            zip(evaluation.groups, group_tables(evaluation), strict=True), 1
        )
    ]


def _tables(evaluation: Evaluation) -> list[Table]:
    tables = [quality_table(evaluation)]
    if evaluation.models:
        costs = cost_table(evaluation)
        tables.append(difference_table(evaluation))
        tables.extend([costs] if costs is not None else [])
        tables.append(article_table(evaluation))
    return tables


def _agreed(pairs: Sequence[Comparison]) -> str | None:
    """The only pair in a sentence; more than one are pictures."""
    if len(pairs) != 1:
        return None
    (pair,) = pairs
    return (
        f"{isolated(pair.first)} and {isolated(pair.second)} share {100 * pair.overlap:.0f} % of "
        f"their first {pair.k} passages and put the same one first for "
        f"{100 * pair.same_first:.0f} % of the queries. "
        f"Kendall's tau of their orders is {number(pair.tau, 2)} (1: the same order, 0: no "
        f"relation); passages move by {pair.movement:.1f} ranks on average."
    )
