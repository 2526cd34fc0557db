from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from xml.etree import ElementTree as ET

import matplotlib as mpl
import pytest
from tests.evaluation.report.evaluations import (
    MEASURE,
    difference,
    small,
    with_agreement,
    with_models,
)

from rag_rerankers.evaluation.report.labels import Box, place
from rag_rerankers.evaluation.report.movement import moves, recall_curve
from rag_rerankers.evaluation.report.plots import agreement_plots, group_plot, recall_plot
from rag_rerankers.evaluation.report.query_plots import gain_plot, movement_plot
from rag_rerankers.evaluation.report.tradeoff_plot import interval_plot, tradeoff_plot
from rag_rerankers.evaluation.report.words import number, short, short_names, signed, verdict
from rag_rerankers.evaluation.runs import Run

SVG = "{http://www.w3.org/2000/svg}"


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(svg).iter(f"{SVG}text")]


def tips(svg: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(svg).iter(f"{SVG}title")]


def marks(svg: str, gid: str) -> list[ET.Element]:
    root = ET.fromstring(svg)
    (group,) = (one for one in root.iter(f"{SVG}g") if one.get("id") == gid)
    return [one for one in group.iter() if one.find(f"{SVG}title") is not None]


def middle(mark: ET.Element) -> tuple[float, float]:
    if mark.get("x"):
        return float(mark.get("x")), float(mark.get("y"))
    numbers = [float(found) for found in re.findall(r"-?[\d.]+", mark.get("d"))]
    sides = numbers[::2], numbers[1::2]
    return tuple((min(side) + max(side)) / 2 for side in sides)


def movement(evaluation=None):
    evaluation = evaluation or small()
    return movement_plot(evaluation, evaluation.models[0], "movement").svg


def gains(evaluation=None):
    evaluation = evaluation or small()
    return gain_plot(evaluation, evaluation.models[0], "gain").svg


@cache
def every_plot():
    evaluation = replace(with_agreement(), groups={"kind": {"x": ["q1"], "y": ["q2"]}})
    model = evaluation.models[0]
    return {
        "tradeoff": tradeoff_plot(evaluation),
        "intervals": interval_plot(evaluation),
        "recall": recall_plot(evaluation),
        "overlap": agreement_plots(evaluation)[0],
        "tau": agreement_plots(evaluation)[1],
        "group": group_plot(evaluation, "kind", model, "group"),
        "movement": movement_plot(evaluation, model, "movement"),
        "gain": gain_plot(evaluation, model, "gain"),
    }


# Two rose (b of q1, c of q2), two fell (a of q2, b of q4), a of q3 stayed: 40, 40, 20 %.
def test_the_movement_plot_counts_what_rose_fell_and_stayed():
    shown = texts(movement())
    assert {"▲ 2 rose", "▼ 2 fell", "● 1 stayed"} <= set(shown)
    assert [text for text in shown if "%" in text] == ["40 %", "40 %", "20 %"]


def test_every_passage_that_moved_tells_its_question_ranks_and_grade():
    assert sorted(tips(movement())) == [
        "rank 1 → 1 (grade 1): three?",
        "rank 1 → 3 (grade 1): two?",
        "rank 1 → 4 (grade 1): four?",
        "rank 2 → 1 (grade 2): one?",
        "rank 3 → 1 (grade 1): two?",
    ]


def test_what_rose_is_blue_what_fell_amber_and_what_stayed_grey():
    colours = {}
    for mark in marks(movement(), "movement-moves"):
        tip = mark.find(f"{SVG}title").text
        colours[tip[5:10]] = re.search(r"fill: var\(--(\w+)\)", mark.get("style"))[1]
    assert colours == {
        "2 → 1": "blue",
        "3 → 1": "blue",
        "1 → 3": "amber",
        "1 → 4": "amber",
        "1 → 1": "grey",
    }


def test_the_first_rank_is_at_the_top_and_on_the_left():
    at = {}
    for mark in marks(movement(), "movement-moves"):
        at[mark.find(f"{SVG}title").text[5:10]] = middle(mark)
    same = pytest.approx(at["1 → 1"], abs=0.01)
    assert (at["1 → 3"][0], at["2 → 1"][1]) == same
    assert at["1 → 1"][0] + 9 < at["2 → 1"][0] < at["3 → 1"][0] - 9
    assert at["1 → 1"][1] + 9 < at["1 → 3"][1] < at["1 → 4"][1] - 9


def test_relevant_passages_that_are_no_candidates_are_told():
    note = movement_plot(small(), small().models[0], "m").note
    assert "1 relevant passage not among the candidates." in note


def test_passages_with_the_same_ranks_share_one_dot():
    evaluation = small()
    queries = {f"q{n}": f"question {n}?" for n in range(7)}
    values = {MEASURE: dict.fromkeys(queries, 1.0)}
    same = Run("same", {id_: ["a", "b"] for id_ in queries})
    evaluation = replace(
        evaluation,
        collection=replace(
            evaluation.collection, queries=queries, qrels={id_: {"a": 1} for id_ in queries}
        ),
        first=replace(evaluation.first, run=same, values=values),
        models=(replace(evaluation.models[0], run=same, values=values),),
    )
    (tip,) = tips(movement(evaluation))
    assert tip.splitlines() == [
        "rank 1 → 1 (grade 1): question 0?",
        "rank 1 → 1 (grade 1): question 1?",
        "rank 1 → 1 (grade 1): question 2?",
        "and 4 more",
    ]


def test_thousands_of_movements_become_hundreds_of_dots_and_none_is_lost():
    evaluation = small()
    ids = [f"d{n}" for n in range(200)]
    queries = {f"q{n}": f"question {n}?" for n in range(40)}
    # Every rank from 1 to 200 goes to another one in every query: 8,000 different moves.
    turned = {id_: ids[n * 5 :] + ids[: n * 5] for n, id_ in enumerate(queries)}
    values = {MEASURE: dict.fromkeys(queries, 1.0)}
    qrels = {id_: dict.fromkeys(ids, 1) for id_ in queries}
    evaluation = replace(
        evaluation,
        collection=replace(evaluation.collection, queries=queries, qrels=qrels),
        first=replace(evaluation.first, run=Run("f", dict.fromkeys(queries, ids)), values=values),
        models=(replace(evaluation.models[0], run=Run("m", turned), values=values),),
    )
    found = tips(movement(evaluation))
    assert 100 < len(found) <= 900
    more = sum(int(tip.rsplit("and ", 1)[1].split()[0]) for tip in found if "\nand " in tip)
    assert more + sum(tip.count("rank ") for tip in found) == 8000


def test_the_lowest_relevant_grade_is_that_of_the_measures():
    evaluation = replace(small(), measures=(MEASURE, "Recall(rel=2)@10"))
    found = moves(evaluation, evaluation.models[0])
    assert [(move.query, move.before, move.after) for move in found.moves] == [("q1", 2, 1)]


def test_the_gain_plot_counts_queries_and_names_them_from_best_to_worst():
    shown = texts(gains())
    assert {"▲ 1 better", "▼ 1 worse", "● 2 the same", "4 queries, best to worst"} <= set(shown)
    assert [text for text in shown if "%" in text] == ["25 %", "25 %", "50 %"]
    assert tips(gains()) == [
        ".500 → 1.000 (+.500)\none?",
        "1.000 → 1.000 (.000)\ntwo?",
        "1.000 → 1.000 (.000)\nthree?",
        "1.000 → .250 (−.750)\nfour?",
    ]


def test_many_queries_share_bars_and_all_are_counted():
    evaluation = small()
    queries = [f"q{n}" for n in range(1, 1001)]
    before, after = dict.fromkeys(queries, 0.5), dict.fromkeys(queries, 0.75)
    evaluation = replace(
        evaluation,
        first=replace(evaluation.first, values={MEASURE: before}),
        models=(replace(evaluation.models[0], values={MEASURE: after}),),
    )
    assert len(tips(gains(evaluation))) == 250
    assert tips(gains(evaluation))[0].endswith("\nthree?\nand 3 with about the same")
    assert "▲ 1,000 better" in texts(gains(evaluation))


def test_values_stand_in_the_cells_of_the_matrices():
    overlap, tau = agreement_plots(with_agreement())
    assert sorted(text for text in texts(overlap.svg) if "." in text) == [".41", ".52", ".63"]
    assert sorted(text for text in texts(tau.svg) if "." in text) == [".12", ".34", "−.23"]
    assert "model-0 and model-1 .63" in overlap.svg
    assert "bm25 and model-1 −.23" in tau.svg


def test_cells_stand_in_the_row_and_the_column_of_their_systems():
    root = ET.fromstring(agreement_plots(with_agreement())[0].svg)
    at = {one.text: (float(one.get("x")), float(one.get("y"))) for one in root.iter(f"{SVG}text")}
    near = pytest.approx
    assert at[".41"][1] == near(at["model-0  2"][1], abs=2)
    assert at[".52"][1] == near(at[".63"][1], abs=2) == near(at["model-1  3"][1], abs=2)
    assert at[".41"][0] == near(at[".52"][0]) == near(at["1"][0], abs=2)
    assert at[".63"][0] == near(at["2"][0], abs=2)


def test_one_pair_needs_no_matrix():
    assert agreement_plots(small()) == []


# Before: q1 finds b at 2, q2 a at 1 and c at 3, q3 a at 1 and never z, q4 b at 1.
# After: q1 finds b at 1, q2 c at 1 and a at 3, q3 as before, q4 b at 4.
def test_recall_is_the_mean_over_queries():
    evaluation = small()
    assert recall_curve(evaluation, evaluation.first) == pytest.approx([0.5, 0.75, 0.875, 0.875])
    assert recall_curve(evaluation, evaluation.models[0]) == pytest.approx([0.5, 0.5, 0.625, 0.875])


def test_the_recall_plot_names_its_curves_from_the_highest_to_the_lowest():
    evaluation = replace(small(), top_k=3)
    shown = texts(recall_plot(evaluation).svg)
    assert [text for text in shown if text.startswith(".")] == [".88  bm25", ".62  mine"]


def test_the_tradeoff_names_every_model_beside_its_point():
    for n in (1, 2, 8):
        shown = texts(tradeoff_plot(with_models(n)).svg)
        assert {f"model-{place} .812" for place in range(n)} <= set(shown)
        assert "bm25 .875" in shown


def test_a_dollar_in_a_name_is_a_dollar():
    evaluation = small()
    model = replace(evaluation.models[0], name="a$x_1$b")
    evaluation = replace(evaluation, models=(model,), differences=(difference("a$x_1$b"),))
    assert "a$x_1$b .812" in texts(tradeoff_plot(evaluation).svg)


def test_the_axis_of_latencies_is_logarithmic_only_beyond_a_factor_of_ten():
    def spread(n):
        marked = marks(tradeoff_plot(with_models(n)).svg, "tradeoff-models")
        return [float(one.get("x")) for one in marked]

    one, two, three = spread(3)  # 5, 15 and 45 ms: 10 ms and 30 ms apart
    assert three - two == pytest.approx(3 * (two - one), rel=0.01)
    one, two, three, four = spread(4)  # up to 135 ms: factors of three
    assert three - two == pytest.approx(two - one, rel=0.01)
    assert four - three == pytest.approx(two - one, rel=0.01)


def test_without_latencies_there_are_intervals_instead():
    evaluation = small()
    blind = replace(evaluation, models=(replace(evaluation.models[0], cost=None),))
    assert tradeoff_plot(blind) is None
    assert "mine .812" in texts(interval_plot(blind).svg)
    assert interval_plot(replace(evaluation, models=())) is None
    two = with_models(2)
    assert tradeoff_plot(replace(two, models=(two.models[0], blind.models[0]))) is None


def test_groups_show_the_mean_after_and_their_size():
    evaluation = replace(small(), groups={"kind": {"short": ["q1", "q4"], "long": ["q2", "q3"]}})
    shown = texts(group_plot(evaluation, "kind", evaluation.models[0], "group").svg)
    assert {"short (2)", "long (2)", ".62", "1.00"} <= set(shown)  # (1 + .25) / 2


def test_colours_are_variables_of_the_page_and_text_is_text():
    for plot in every_plot().values():
        assert "#000000" not in plot.svg
        assert re.findall(r"#[0-9a-f]{6}\b", plot.svg) == []
        assert re.findall(r"font-family|font: |<style|<metadata", plot.svg) == []
        assert texts(plot.svg)


def test_pictures_say_what_they_show_and_their_ids_never_meet():
    ids = []
    for name, plot in every_plot().items():
        root = ET.fromstring(plot.svg)
        assert root.get("role") == "img"
        assert len(root.get("aria-label")) > 20
        own = {one.get("id") for one in root.iter() if one.get("id")}
        assert all(id_.startswith(f"{name}-") for id_ in own)
        used = re.findall(r'href="#([^"]+)"', plot.svg) + re.findall(r"url\(#([^)]+)\)", plot.svg)
        assert set(used) <= own
        ids += own
    assert len(ids) == len(set(ids))


def test_the_callers_settings_of_matplotlib_change_nothing_and_stay():
    usual = {name: plot.svg for name, plot in every_plot().items()}
    with mpl.rc_context(
        {"font.size": 30, "axes.grid": True, "axes.facecolor": "red", "svg.fonttype": "path"}
    ):
        again = every_plot.__wrapped__()
        assert {name: plot.svg for name, plot in again.items()} == usual
        assert mpl.rcParams["font.size"] == 30


def test_labels_do_not_cover_each_other_or_leave_the_picture():
    bounds = Box(0, 0, 300, 200)
    anchors = [(150.0, 100.0 + n) for n in range(8)]
    taken = [Box(x - 5, y - 5, x + 5, y + 5) for x, y in anchors]
    boxes = place(anchors, [(80.0, 12.0)] * 8, taken, bounds)
    for n, box in enumerate(boxes):
        assert box.outside(bounds) == 0
        assert [box.shared(other) for other in [*boxes[:n], *taken]] == [0] * (n + 8)


def test_a_label_that_would_leave_the_picture_stands_on_the_other_side():
    (right,) = place([(150.0, 50.0)], [(80.0, 12.0)], [], Box(0, 0, 300, 100))
    (left,) = place([(290.0, 50.0)], [(80.0, 12.0)], [], Box(0, 0, 300, 100))
    assert right.left > 150
    assert left.right < 290


def test_shared_area_is_width_times_height():
    assert Box(0, 0, 4, 4).shared(Box(3, 2, 9, 9)) == 2
    assert Box(0, 0, 4, 4).shared(Box(4, 4, 9, 9)) == 0
    assert Box(-1, 0, 3, 2).outside(Box(0, 0, 9, 9)) == 2


def test_numbers_lose_the_zero_before_the_point():
    assert [number(value) for value in (0.5064, 1, 0, -0.0001, -0.25, 12.5)] == [
        *(".506", "1.000", ".000", ".000", "−.250", "12.500")
    ]
    assert [signed(value) for value in (0.152, 0, -0.0001, -1.5)] == [
        *("+.152", ".000", ".000", "−1.500")
    ]


def test_long_names_lose_their_middle_and_stay_different():
    names = ["x" * 100 + "a", "x" * 100 + "b", "owner/model", "bm25"]
    shortened = short_names(names)
    assert len(set(shortened)) == 4
    assert all(len(name) <= 24 for name in shortened)
    assert shortened[0].endswith("xa")
    assert shortened[2:] == ["model", "bm25"]
    assert short_names(["a/model", "b/model"]) == ["a/model", "b/model"]
    assert short_names(["50/50 model"]) == ["50/50 model"]
    assert len(set(short_names(["y" * 50 + "k" * 40, "y" * 50 + "z" + "k" * 40]))) == 2


def test_names_from_right_to_left_do_not_turn_the_sentence():
    for name in ("שלום", "a\u202eb"):
        model = replace(small().models[0], name=name)
        evaluation = replace(small(), models=(model,), differences=(difference(name),))
        assert verdict(evaluation, model).startswith(f"\u2068{name}\u2069 takes MRR@10 from .875")


def test_texts_are_cut_behind_a_word():
    assert short("one two  three", 20) == "one two three"
    assert short("one two three", 9) == "one two…"
    assert short("x" * 50, 10) == "x" * 9 + "…"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"before": 0.506, "after": 0.6575, "low": 0.099, "high": 0.207, "p_value": 0.0001}
            | {"wins": 30, "losses": 13, "ties": 0},
            "mine raises MRR@10 from .506 to .657 (+.151, 95 % interval +.099 to +.207, "
            "p < .001): 30 queries better, 13 worse, 0 the same.",
        ),
        (
            {"low": -0.1, "high": -0.02, "p_value": 0.034},
            "mine lowers MRR@10 from .875 to .812 (−.062, 95 % interval −.100 to −.020, "
            "p = .034): 1 query better, 1 worse, 2 the same.",
        ),
        (
            {},
            "mine takes MRR@10 from .875 to .812 (−.062, 95 % interval −.400 to +.300, "
            "p = .750); this may be chance: 1 query better, 1 worse, 2 the same.",
        ),
        (
            {"after": 0.875, "wins": 0, "losses": 0, "ties": 1200},
            "mine leaves MRR@10 at .875: all 1,200 queries are the same.",
        ),
        (
            {"wins": 0, "losses": 1, "ties": 0},
            "mine changes MRR@10 from .875 to .812 (−.062) for one query, which says nothing "
            "about others.",
        ),
    ],
    ids=["gain", "loss", "chance", "nothing", "one query"],
)
def test_the_verdict_is_honest(changes, told):
    evaluation = replace(small(), differences=(difference("mine", **changes),))
    assert verdict(evaluation, evaluation.models[0]) == told
