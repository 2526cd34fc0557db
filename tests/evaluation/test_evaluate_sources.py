from __future__ import annotations

import json

import pytest
from tests.evaluation.small import DATA, STAGE, TEXTS, Oracle

from rag_rerankers import DataError
from rag_rerankers.evaluation import Collection, evaluate, load_collection


def evaluated(data, stage, **settings):
    return evaluate(data, [Oracle()], first_stage=stage, cost=False, **settings)


@pytest.fixture
def written(tmp_path):
    """The same as a file of questions with their passages."""
    path = tmp_path / "made.jsonl"
    rows = [
        {
            "id": id_,
            "question": text,
            "language": DATA.fields[id_]["language"],
            "passages": [
                {"id": d, "text": TEXTS[d], "relevance": DATA.qrels[id_].get(d, 0)}
                for d in STAGE.rankings[id_]
            ],
        }
        for id_, text in DATA.queries.items()
        if id_ != "q3"
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_data_by_name_with_its_own_candidates(written):
    found = evaluated(str(written), "given")
    assert found.first.name == "given"
    assert found.models[0].run.rankings == {"q1": ["d3", "d1", "d2"], "q2": ["d1", "d5", "d4"]}
    assert found.models[0].mean("MRR@10") == 1.0


def test_candidates_from_a_run_file(tmp_path, written):
    path = tmp_path / "mine.trec"
    path.write_text("q1 Q0 d3 1 0.5 x\nq1 Q0 d2 2 0.75 x\nq2 Q0 d1 1 1 x\n", encoding="utf-8")
    found = evaluated(load_collection(written), path)
    assert found.first.run.rankings == {"q1": ["d2", "d3"], "q2": ["d1"]}
    path.write_text("q1 Q0 d3 1 0.5 x\nq1 Q0 lost 2 0.75 x\n", encoding="utf-8")
    with pytest.raises(DataError, match="lost"):
        evaluated(written, path)
    found = evaluated(written, path, lenient=True)
    assert found.models[0].run.rankings == {"q1": ["d3", "lost"], "q2": []}
    assert [problem.count for problem in found.collection.problems] == [1, 1]


def test_bm25_is_the_first_stage_unless_told_otherwise():
    documents = {
        "d1": "The giant panda eats bamboo, and it lives in the mountains of China.",
        "d2": "The river is very long and it flows through the whole of the country.",
        "d3": "A forest of bamboo is where the animals of this country live.",
    }
    data = Collection("bears", documents, {"q": "panda bamboo forest"}, qrels={"q": {"d3": 1}})
    found = evaluate(data, [Oracle(data)], cost=False)
    assert (found.first.name, found.top_k) == ("bm25", 100)
    assert {*found.first.run.rankings["q"]} == {"d1", "d3"}
    assert found.models[0].run.rankings["q"] == ["d3", "d1"]
