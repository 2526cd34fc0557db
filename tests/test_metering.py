from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import transformers
from tests.kinds import CROSS_ENCODERS, KINDS
from tests.samples import QUERY, random_texts
from tests.stand_ins import Length

from rag_rerankers import Reranker, ScoreError, TruncationWarning
from rag_rerankers.metering import Meter, count, metered, note_failure

BY_NAME = {kind.name: kind for kind in KINDS}
QUESTION = "what is a panda"  # four tokens
TEXTS = ["giant bear", "bear"]  # two tokens, one token
PASSAGES = [text for text in random_texts(5, 12, longest=25) if text.strip()]
LONG = "bear " * 30


# --- the meter ---


def test_counts_add_up():
    with metered() as meter:
        count(tokens=3)
        count(cut=1)
        count(tokens=4, cut=2)
    assert meter == Meter(tokens=7, cut=3)


def test_nothing_is_counted_outside_of_a_block():
    count(tokens=1)
    with metered() as meter:
        pass
    count(tokens=1, cut=1)
    assert meter == Meter(0, 0)


def test_a_block_within_another_counts_its_own_work_alone():
    with metered() as outer:
        count(tokens=1)
        with metered() as inner:
            count(tokens=10, cut=5)
        count(tokens=2)
    assert inner == Meter(10, 5)
    assert outer == Meter(3, 0)


def test_a_shared_block_is_counted_by_both():
    error, later = ScoreError("NaN"), ScoreError("again")
    with metered() as outer:
        count(tokens=1)
        with metered(shared=True) as inner:
            count(tokens=10, cut=5)
            note_failure(error)
            note_failure(later)
        count(tokens=2)
        with metered(shared=True):
            note_failure(later)
    assert inner == Meter(10, 5, error)
    assert outer == Meter(13, 5, error)


def test_a_failure_outside_of_a_block_is_noted_nowhere():
    note_failure(ScoreError("NaN"))
    with metered() as meter:
        pass
    assert meter.failure is None


def test_an_error_ends_the_block():
    with metered() as outer:
        with pytest.raises(KeyError), metered():
            raise KeyError
        count(tokens=2)
    assert outer.tokens == 2


def test_another_thread_is_not_counted():
    with metered() as meter:
        thread = threading.Thread(target=count, kwargs={"tokens": 5})
        thread.start()
        thread.join()
    assert meter.tokens == 0


def test_every_thread_counts_for_itself():
    n_threads, n_counts = 4, 50
    together = threading.Barrier(n_threads)

    def work(tokens: int) -> int:
        with metered() as meter:
            for _ in range(n_counts):
                together.wait(timeout=60)
                count(tokens=tokens)
        return meter.tokens

    with ThreadPoolExecutor(n_threads) as pool:
        assert list(pool.map(work, range(1, 5))) == [50, 100, 150, 200]


# --- what scorers count ---


@pytest.mark.parametrize(
    ("name", "tokens"),
    [
        # [CLS] 4 [SEP] 2 [SEP], [CLS] 4 [SEP] 1 [SEP]
        ("bert", 9 + 8),
        # <s> 4 </s></s> 2 </s>
        ("xlmr", 10 + 9),
        ("mpnet", 10 + 9),
        # The query once, [CLS] 4 [SEP]; then [CLS] 2 [SEP] and [CLS] 1 [SEP]
        ("encoder", 6 + 4 + 3),
        # The query filled up to 32 by [MASK], whose vectors count; documents with a marker
        ("stanford", 32 + 5 + 4),
    ],
)
def test_tokens_equal_those_counted_by_hand(name, tokens, loader):
    scorer = loader(BY_NAME[name])
    with metered() as meter:
        scorer.score(QUESTION, TEXTS)
    assert meter == Meter(tokens=tokens, cut=0)


@pytest.mark.parametrize("kind", CROSS_ENCODERS, ids=str)
def test_tokens_equal_those_of_the_tokenizer(kind, loader, make):
    tokenizer = transformers.AutoTokenizer.from_pretrained(make(kind.maker, **kind.settings))
    expected = sum(len(tokenizer(QUERY, text)["input_ids"]) for text in PASSAGES)
    with metered() as meter:
        loader(kind).score(QUERY, PASSAGES)
    assert meter.tokens == expected


@pytest.mark.parametrize("name", ["bert", "distilbert", "encoder"])
def test_batches_change_nothing(name, loader):
    kind = BY_NAME[name]
    with metered() as at_once:
        loader(kind).score(QUERY, PASSAGES)
    with metered() as in_parts:
        loader(kind, batch_tokens=64).score(QUERY, PASSAGES)
    assert in_parts == at_once


def test_relevance_and_an_empty_call_read_nothing(scorer):
    with metered() as meter:
        scorer.score(QUERY, [])
        scorer.relevance(QUERY, [0.5])
    assert meter == Meter()


@pytest.mark.parametrize(("name", "special"), [("bert", 0), ("encoder", 6)])
def test_texts_that_are_cut_are_counted(name, special, loader):
    scorer = loader(BY_NAME[name], max_length=20)
    with metered() as meter, pytest.warns(TruncationWarning):
        scorer.score(QUESTION, [LONG, "bear", LONG])
    # Two texts fill the room; "bear" is 8 tokens with the query, 3 alone.
    assert meter == Meter(tokens=20 + (8 if name == "bert" else 3) + 20 + special, cut=2)


def test_windows_are_read_whole_and_cut_nothing(loader):
    scorer = loader(BY_NAME["bert"], max_length=20, long_documents="max_passage")
    with metered() as meter:
        scorer.score(QUESTION, [LONG])
    # 30 words, 13 in a window beside the query: at least 30, and 7 of specials and query each.
    assert meter.cut == 0
    assert meter.tokens >= 30 + 3 * 7


def test_a_query_that_is_cut_is_no_text(loader):
    with metered() as meter, pytest.warns(TruncationWarning):
        loader(BY_NAME["bert"], max_length=20).score(LONG, ["a"])
    assert meter == Meter(tokens=15 + 3 + 1, cut=0)


def test_scorers_that_say_nothing_count_nothing():
    with metered() as meter:
        Reranker(Length()).rank("q", ["a", "bb"])
    assert meter == Meter()


async def test_work_that_is_awaited_counts_in_the_block_that_awaits_it(loader):
    reranker = Reranker(loader(BY_NAME["bert"]))
    with metered() as meter:
        await reranker.arank(QUESTION, TEXTS)
    assert meter.tokens == 9 + 8
