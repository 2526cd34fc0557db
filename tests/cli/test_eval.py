from __future__ import annotations

import json

import pytest
import pytrec_eval
from tests.cli.conftest import DOCUMENTS


def figures(done):
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


def test_the_first_stage_alone_can_be_measured(call, zoo):
    found = figures(call("eval", "--data", zoo, "--top-k", 3, "--json", "-"))
    assert [system["name"] for system in found["systems"]] == ["bm25"]
    # d1 answers q1 with three shared words, d4 answers q2 with three.
    assert found["systems"][0]["means"]["MRR@10"] == 1.0
    assert found["data"] == {
        "name": "zoo",
        "documents": 4,
        "queries": 2,
        "judgments": 3,
        "problems": [],
    }


def test_every_output_is_written(call, zoo, model, tmp_path):
    out = tmp_path / "out"
    done = call(
        "eval", "--data", zoo, "--model", model, "--model", f"{model},dtype=bfloat16", "--top-k", 4,
        "--json", tmp_path / "f.json", "--html", tmp_path / "r.html", "--runs", out,
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    found = json.loads((tmp_path / "f.json").read_text())
    names = [system["name"] for system in found["systems"]]
    assert names == ["bm25", model.name, f"{model.name},dtype=bfloat16"]
    assert (tmp_path / "r.html").read_text().startswith("<!doctype html>")
    assert len(list(out.iterdir())) == 3
    assert max(map(len, done.stdout.splitlines())) <= 80
    for shown in ("nDCG@10", "95 % interval", "texts per second", "peak memory", "ColBERTv2"):
        assert shown in done.stdout.replace("\n", " ")


def test_trec_eval_finds_the_same_in_the_written_runs(call, zoo, model, tmp_path):
    found = figures(
        call("eval", "--data", zoo, "--model", model, "--top-k", 4, "--no-cost", "--json", "-",
             "--runs", tmp_path / "runs")
    )  # fmt: skip
    qrels = {"q1": {"d1": 2, "d3": 1}, "q2": {"d4": 1}}
    for system in found["systems"]:
        name = "".join(c if c.isalnum() or c in "-_.=," else "-" for c in system["name"])
        run: dict[str, dict[str, float]] = {}
        for line in (tmp_path / "runs" / f"{name}.trec").read_text().splitlines():
            query, _, document, _, score, _ = line.split()
            run.setdefault(query, {})[document] = float(score)
        evaluator = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg_cut.10", "map_cut.4", "P.5"})
        told = evaluator.evaluate(run)
        for ours, theirs in (("nDCG@10", "ndcg_cut_10"), ("AP@4", "map_cut_4"), ("P@5", "P_5")):
            expected = sum(values[theirs] for values in told.values()) / 2
            assert system["means"][ours] == pytest.approx(expected, abs=5e-5)


def test_a_run_written_before_is_a_first_stage(call, zoo, tmp_path):
    call("eval", "--data", zoo, "--top-k", 4, "--runs", tmp_path)
    stage = tmp_path / "bm25.trec"
    again = figures(
        call("eval", "--data", zoo, "--top-k", 4, "--first-stage", stage, "--json", "-")
    )
    before = figures(call("eval", "--data", zoo, "--top-k", 4, "--json", "-"))
    assert again["systems"][0]["means"] == before["systems"][0]["means"]
    assert again["systems"][0]["name"] == "bm25.trec"


def test_dense_takes_any_embedding(call, zoo):
    done = call(
        "eval", "--data", zoo, "--first-stage", "dense", "--top-k", 2, "--json", "-",
        "--embedding", "langchain_core.embeddings:DeterministicFakeEmbedding",
        "--embedding-args", '{"size": 8}',
    )  # fmt: skip
    assert figures(done)["systems"][0]["name"] == "dense"


def test_measures_and_groups_can_be_chosen(call, zoo):
    lines = [
        {"_id": "q1", "text": "what is a giant panda?", "kind": "animal"},
        {"_id": "q2", "text": "what is the capital of France?", "kind": "place"},
    ]
    (zoo / "queries.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = figures(
        call("eval", "--data", zoo, "--measure", "Success@1", "--by", "kind", "--json", "-")
    )
    assert found["measures"] == ["Success@1"]
    assert found["groups"]["kind"]["animal"]["means"]["bm25"] == {"Success@1": 1.0}


def test_mistakes_are_told_with_file_and_line_and_lenient_goes_on(call, zoo):
    with (zoo / "qrels.tsv").open("a") as file:
        file.write("q1\tnowhere\t1\n")
    strict = call("eval", "--data", zoo)
    assert strict.exit_code == 1
    told = strict.stderr.replace("\n", "")
    assert "qrels.tsv:5" in told
    assert "'nowhere'" in told
    assert "--lenient" in told
    lenient = call("eval", "--data", zoo, "--lenient", "--json", "-")
    (problem,) = figures(lenient)["data"]["problems"]
    assert problem["count"] == 1
    assert "qrels.tsv:5" in lenient.stderr.replace("\n", "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--first-stage", "bm52"), "no first stage 'bm52'"),
        (("--measure", "nDGC@10"), "no measure 'nDGC@10'"),
        (("--by", "mood"), "no query of zoo has a field 'mood'"),
        (("--model", "x", "--model", "x"), "two models are called 'x'"),
        (("--model", "minilm-maxsim,dtyp=float32"), "'dtyp=float32'"),
        (("--html", "nowhere/r.html"), "no folder"),
        (("--json", "."), "is a folder"),
        (("--qrels", "none.tsv"), "none.tsv cannot be read"),
        (("--first-stage", "dense", "--embedding", "mine"), "no embedding 'mine'"),
    ],
)
def test_other_mistakes_are_one_message(call, zoo, arguments, message):
    done = call("eval", "--data", zoo, *arguments)
    assert done.exit_code == 1
    assert message in done.stderr.replace("\n", "")
    assert "Traceback" not in done.stderr


def test_unknown_data_says_what_there_could_be(call):
    done = call("eval", "--data", "no-such-data")
    assert done.exit_code == 1
    assert "no-such-data" in done.stderr
    assert "ir_datasets" in done.stderr


def test_a_file_of_questions_with_passages_is_data_too(call, tmp_path):
    path = tmp_path / "asked.jsonl"
    rows = [
        {
            "question": "giant panda?",
            "passages": list(DOCUMENTS.values()),
            "relevance": [1, 0, 0, 0],
        },
        {"question": "capital?", "passages": list(DOCUMENTS.values()), "relevance": [0, 0, 0, 1]},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = figures(call("eval", "--data", path, "--first-stage", "given", "--json", "-"))
    assert found["systems"][0]["means"]["MRR@10"] == pytest.approx((1 + 1 / 4) / 2)


def test_a_cascade_is_measured_beside_its_models(call, zoo, make, model):
    cheap = make("bert_encoder")
    found = figures(
        call("eval", "--data", zoo, "--model", f"{cheap}>{model},keep=2", "--model", model,
             "--top-k", 4, "--no-cost", "--json", "-")
    )  # fmt: skip
    names = [system["name"] for system in found["systems"]]
    assert names == ["bm25", f"{cheap.name}>{model.name},keep=2", model.name]
