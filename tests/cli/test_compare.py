from __future__ import annotations

import csv
import json

import pytest


@pytest.fixture
def runs(tmp_path):
    """Two rankings: the same for q1, turned around for q2."""
    first, second = tmp_path / "a.trec", tmp_path / "b.trec"
    first.write_text("q1 Q0 d1 1 2 a\nq1 Q0 d2 2 1 a\nq2 Q0 d3 1 2 a\nq2 Q0 d4 2 1 a\n")
    second.write_text("q1 Q0 d1 1 2 b\nq1 Q0 d2 2 1 b\nq2 Q0 d4 1 2 b\nq2 Q0 d3 2 1 b\n")
    return ["--run", first, "--run", second]


def test_two_run_files_are_compared(call, zoo, runs):
    (zoo / "qrels.tsv").unlink()  # judgments are not needed
    done = call("compare", "--data", zoo, *runs, "--json")
    found = json.loads(done.stdout)
    assert (found["first"], found["second"]) == ("a.trec", "b.trec")
    assert (found["overlap"], found["same_first"], found["tau"]) == (1.0, 0.5, 0.0)
    assert [query["movement"] for query in found["queries"]] == [0.0, 1.0]


def test_the_screen_shows_where_they_differ(call, zoo, runs):
    shown = call("compare", "--data", zoo, *runs).stdout
    assert "same first passage   50%" in shown
    assert "what is the capital of France?" in shown
    assert "2 -> 1  Paris is the capital" in shown
    assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.parametrize(
    ("systems", "names"),
    [
        (lambda model, run: ["--model", model], ("bm25", "{model}")),
        (lambda model, run: ["--run", run], ("a.trec", "bm25")),
        (lambda model, run: ["--run", run, "--model", model], ("a.trec", "{model}")),
        (
            lambda model, run: ["--model", model, "--model", f"{model},max_length=64"],
            ("{model}", "{model},max_length=64"),
        ),
    ],
    ids=["model", "run", "run and model", "two models"],
)
def test_one_is_compared_with_the_first_stage_two_with_each_other(
    call, zoo, model, runs, systems, names
):
    done = call("compare", "--data", zoo, *systems(model, runs[1]), "--json")
    found = json.loads(done.stdout)
    assert (found["first"], found["second"]) == tuple(n.format(model=model.name) for n in names)


@pytest.mark.parametrize("arguments", [[], ["--run", "a", "--run", "b", "--model", "c"]])
def test_none_or_three_are_refused(call, zoo, arguments):
    done = call("compare", "--data", zoo, *arguments)
    assert done.exit_code == 1
    assert f"not {len(arguments) // 2}" in done.stderr.replace("\n", "")


def test_disagreements_are_judged_by_hand_and_measured(call, zoo, runs, tmp_path):
    judged = tmp_path / "judged.csv"
    done = call("compare", "--data", zoo, *runs, "--export", judged)
    assert "2 passages to judge" in done.stderr
    with judged.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["document_id"] for row in rows} == {"d3", "d4"}
    for row in rows:
        row["relevance"] = "1" if "capital" in row["text"] else "0"
    with judged.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    for run, expected in ((runs[1], 0.5), (runs[3], 1.0)):
        measured = call(
            "eval", "--data", zoo, "--qrels", judged, "--first-stage", run, "--json", "-"
        )
        means = json.loads(measured.stdout)["systems"][0]["means"]
        assert means["MRR@10"] == expected


def test_another_ending_is_refused_before_any_work(call, zoo):
    done = call("compare", "--data", zoo, "--model", "none-such", "--export", "judged.xlsx")
    assert done.exit_code == 1
    assert "judged.xlsx" in done.stderr.replace("\n", "")
