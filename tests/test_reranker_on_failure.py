from __future__ import annotations

import asyncio
import math
import pickle
import warnings

import pytest
from tests.remote.servers import Native
from tests.stand_ins import Given, Length

from rag_rerankers import (
    CalibratedScores,
    OutOfMemoryError,
    RemoteError,
    RemoteScorer,
    Reranker,
    RerankError,
    RerankSkippedWarning,
    ScoreError,
    StoreError,
)
from rag_rerankers.metering import metered

TEXTS = ["c", "a", "b"]


class Failing:
    """Raises what it was given."""

    def __init__(self, error):
        self.error = error

    def score(self, query, texts):
        raise self.error


class AsyncFailing(Failing):
    async def ascore(self, query, texts):
        raise self.error


async def ranked(reranker, way, *args, **settings):
    if way == "rank":
        return reranker.rank(*args, **settings)
    return await reranker.arank(*args, **settings)


both = pytest.mark.parametrize("way", ["rank", "arank"])
kinds = pytest.mark.parametrize("kind", [Failing, AsyncFailing])
ERRORS = [
    RemoteError("down", url="http://h", status=503),
    ScoreError("NaN"),
    OutOfMemoryError("full"),
    StoreError("damaged"),
    RerankError("any"),
]


@both
@kinds
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
async def test_by_default_errors_are_raised(way, kind, error):
    with pytest.raises(type(error)) as caught:
        await ranked(Reranker(kind(error)), way, "q", TEXTS)
    assert caught.value is error


@both
@kinds
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
async def test_keep_order_returns_what_was_given_and_says_so(way, kind, error):
    reranker = Reranker(kind(error), on_failure="keep_order")
    with metered() as meter, pytest.warns(RerankSkippedWarning) as caught:
        hits = await ranked(reranker, way, "q", iter(TEXTS))
    assert [(hit.index, hit.text) for hit in hits] == [(0, "c"), (1, "a"), (2, "b")]
    for hit in hits:
        assert math.isnan(hit.score)
        assert math.isnan(hit.relevance)
        assert not hit.scored
    assert meter.failure is error
    (warning,) = caught
    assert str(warning.message) == (
        f"{kind.__name__} did not rank, and the 3 texts keep their given order: "
        f"{type(error).__name__}: {error}"
    )
    assert warning.filename == __file__


@both
async def test_top_n_cuts_and_a_threshold_does_not(way):
    reranker = Reranker(Failing(ScoreError("NaN")), on_failure="keep_order")
    with pytest.warns(RerankSkippedWarning):
        hits = await ranked(reranker, way, "q", TEXTS, top_n=2, threshold=0.9)
    assert [hit.text for hit in hits] == ["c", "a"]


@both
async def test_scores_that_cannot_be_ranked_are_a_failure_too(way):
    reranker = Reranker(Given(1.0, float("nan"), 2.0), on_failure="keep_order")
    with pytest.warns(RerankSkippedWarning, match="at indices 1"):
        hits = await ranked(reranker, way, "q", TEXTS)
    assert [hit.text for hit in hits] == TEXTS


@both
async def test_so_is_relevance_that_leaves_0_to_1(way):
    class Wrong(Length):
        def score(self, query, texts):
            return CalibratedScores([1.0] * len(texts), [1.5] * len(texts))

    with pytest.raises(ScoreError, match=r"1\.5 at index 0"):
        await ranked(Reranker(Wrong()), way, "q", TEXTS)
    with pytest.warns(RerankSkippedWarning, match=r"1\.5"):
        await ranked(Reranker(Wrong(), on_failure="keep_order"), way, "q", TEXTS)


@both
@kinds
@pytest.mark.parametrize(
    "error", [TypeError("t"), ValueError("v"), RuntimeError("r"), KeyError("k")]
)
async def test_other_errors_are_mistakes_and_are_raised(way, kind, error):
    with pytest.raises(type(error)):
        await ranked(Reranker(kind(error), on_failure="keep_order"), way, "q", TEXTS)


@both
@pytest.mark.parametrize(
    ("arguments", "settings", "error"),
    [
        ((None, TEXTS), {}, ValueError),
        (("q", [1]), {}, TypeError),
        (("q", TEXTS), {"top_n": -1}, ValueError),
    ],
)
async def test_bad_arguments_are_no_failure(way, arguments, settings, error):
    with pytest.raises(error):
        await ranked(
            Reranker(Failing(ScoreError("x")), on_failure="keep_order"), way, *arguments, **settings
        )


async def test_cancellation_is_no_failure():
    began = asyncio.Event()

    class Hanging(Length):
        async def ascore(self, query, texts):
            began.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(Reranker(Hanging(), on_failure="keep_order").arank("q", TEXTS))
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@both
async def test_nothing_is_said_where_nothing_failed(way):
    with metered() as meter, warnings.catch_warnings():
        warnings.simplefilter("error")
        hits = await ranked(Reranker(Length(), on_failure="keep_order"), way, "q", ["a", "bb"])
    assert [hit.scored for hit in hits] == [True, True]
    assert meter.failure is None


async def test_the_event_loop_scores_without_a_thread():
    import threading

    class Native(Length):
        async def ascore(self, query, texts):
            assert threading.current_thread() is threading.main_thread()
            return self.score(query, texts)

    hits = await Reranker(Native()).arank("q", ["a", "bb"])
    assert [hit.text for hit in hits] == ["bb", "a"]


# --- cascades ---


@both
async def test_a_cascade_keeps_the_order_when_a_stage_fails(way):
    reranker = Reranker.cascade(
        [Length(), Failing(RemoteError("down"))], keep=1, on_failure="keep_order"
    )
    with pytest.warns(RerankSkippedWarning, match=r"^Length > Failing \(1\) did not rank"):
        hits = await ranked(reranker, way, "q", ["a", "ccc", "bb"])
    assert [hit.text for hit in hits] == ["a", "ccc", "bb"]
    assert reranker.options.on_failure == "keep_order"


def test_a_pickled_cascade_still_keeps_the_order():
    copy = pickle.loads(
        pickle.dumps(Reranker.cascade([Length(), Length()], keep=1, on_failure="keep_order"))
    )
    assert copy.options.on_failure == "keep_order"
    copy = pickle.loads(pickle.dumps(Reranker(Length(), on_failure="keep_order")))
    assert copy.options.on_failure == "keep_order"


def test_a_stage_that_would_hide_its_failures_is_refused():
    stage = Reranker(Length(), on_failure="keep_order")
    with pytest.raises(ValueError, match=r"give on_failure to Reranker\.cascade"):
        Reranker.cascade([Length(), stage])


def test_options_of_a_cascade_go_to_the_stages_that_take_them():
    reranker = Reranker.cascade(["http://h#a", "http://h#b"], timeout=5)
    assert [stage.scorer.timeout for stage in reranker.model] == [5.0, 5.0]
    with pytest.raises(ValueError, match="device cannot be set for the server"):
        Reranker.cascade(["http://h#a", "http://h#b"], device="cpu")
    with pytest.raises(ValueError, match="timeout is for the URL of a server"):
        Reranker.cascade(["no/such", "no/other"], timeout=5)


def test_local_and_remote_stages_share_a_call_of_options(make):
    folder = make("xlmr_reranker")
    reranker = Reranker.cascade([folder, "http://h"], device="cpu", dtype="float32", timeout=5)
    local, remote = reranker.model
    assert (local.options.device, local.options.dtype, local.options.timeout) == (
        "cpu",
        "float32",
        None,
    )
    assert (remote.options.device, remote.scorer.timeout) == ("auto", 5.0)


def test_a_remote_stage_brings_its_relevance_into_a_cascade():
    remote = RemoteScorer(
        "http://h", transport=Native(lambda query, text: float(len(text)) - 5).transport
    )
    texts = ["aaaa", "b", "cccccc", "dd"]
    hits = Reranker.cascade([Length(), remote], keep=2).rank("q", texts)
    assert [hit.index for hit in hits] == [2, 0, 3, 1]
    assert [hit.score for hit in hits[:2]] == [1.0, -1.0]
    # Native.calibration: (score + 10) / 20
    assert [hit.relevance for hit in hits[:2]] == pytest.approx([11 / 20, 9 / 20])
    # What the strong stage did not read: the product of what both think, as CascadeScorer says.
    sigmoid = {2: 1 / (1 + math.exp(-2)), 1: 1 / (1 + math.exp(-1))}
    assert [hit.relevance for hit in hits[2:]] == pytest.approx(
        [9 / 20 * sigmoid[2], 9 / 20 * sigmoid[1]], rel=1e-6
    )
