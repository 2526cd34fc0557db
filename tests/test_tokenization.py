from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.checkpoints.tokenizers import bytes_tokenizer, wordpiece_tokenizer
from tests.samples import MIXED, NASTY, random_texts
from tokenizers import Tokenizer, models
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from rag_rerankers import ModelLoadError, tokenization
from rag_rerankers.cancellation import Cancelled, current_flag
from rag_rerankers.tokenization import PairTemplate, TextTokenizer, TokenSequence, well_formed

PLAIN = [*MIXED, *random_texts(5, 10)]


@pytest.fixture
def load(make):
    return lambda maker: AutoTokenizer.from_pretrained(make(maker), local_files_only=True)


# --- text ---


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain é 東", "plain é 東"),
        ("a\ud800b", "a\ufffdb"),
        ("\udfff", "\ufffd"),
        ("\ud83d\udc3c", "\U0001f43c"),
        ("\udc3c\ud83d", "\ufffd\ufffd"),
        ("\ud83d\ud83d\udc3c", "\ufffd\U0001f43c"),
        ("\U0001f43c\ud800\x00", "\U0001f43c\ufffd\x00"),
    ],
)
def test_only_what_utf8_cannot_hold_is_repaired(text, expected):
    assert well_formed(text) == expected


@given(st.text(st.characters(codec=None, categories=["Cs", "L", "So", "Cc"])))
def test_repaired_text_can_always_be_encoded(text):
    repaired = well_formed(text)
    repaired.encode()
    assert well_formed(repaired) == repaired


@given(st.text())
def test_well_formed_text_is_left_alone(text):
    assert well_formed(text) == text


# --- ids ---


@pytest.mark.parametrize("maker", ["xlmr_reranker", "bert_reranker", "roberta_reranker"])
def test_ids_are_all_of_the_tokenizers_own_without_specials(load, maker):
    tokenizer = load(maker)
    expected = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in PLAIN]
    assert TextTokenizer(tokenizer).ids(PLAIN) == expected
    assert TextTokenizer(tokenizer).ids([]) == []


@pytest.mark.parametrize("text", NASTY.values(), ids=NASTY)
@pytest.mark.parametrize("maker", ["xlmr_reranker", "bert_reranker", "roberta_reranker"])
def test_any_unicode_has_ids(load, maker, text):
    (ids,) = TextTokenizer(load(maker)).ids([text])
    assert all(isinstance(id_, int) for id_ in ids)


def test_a_tokenizer_saved_with_truncation_and_padding_cuts_and_pads_nothing(load):
    tokenizer = load("bert_reranker")
    expected = TextTokenizer(tokenizer).ids(PLAIN)
    tokenizer.backend_tokenizer.enable_truncation(4)
    tokenizer.backend_tokenizer.enable_padding(length=64)
    assert TextTokenizer(tokenizer).ids(PLAIN) == expected


def test_nobody_who_holds_the_original_can_change_the_lengths(load):
    tokenizer = load("bert_reranker")
    ours = TextTokenizer(tokenizer)
    expected = ours.ids(PLAIN)
    tokenizer(PLAIN, truncation=True, max_length=5, padding="max_length")
    assert ours.ids(PLAIN) == expected


def test_the_original_keeps_its_own_state(load):
    tokenizer = load("bert_reranker")
    tokenizer.backend_tokenizer.enable_truncation(4)
    TextTokenizer(tokenizer).ids(PLAIN)
    assert tokenizer.backend_tokenizer.truncation["max_length"] == 4


class Borrowed:
    """A slow tokenizer that, as many do, cannot serve two threads at a time."""

    is_fast = False

    def __init__(self) -> None:
        self._busy = threading.Lock()

    def __call__(self, texts, **settings):
        assert settings["add_special_tokens"] is False
        assert settings["truncation"] is False
        assert settings["padding"] is False
        if not self._busy.acquire(blocking=False):
            raise RuntimeError("Already borrowed")
        try:
            time.sleep(0.002)
            return {"input_ids": [[ord(c) for c in text] for text in texts]}
        finally:
            self._busy.release()


def test_a_slow_tokenizer_serves_one_thread_at_a_time():
    tokenizer = TextTokenizer(Borrowed())
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda n: tokenizer.ids([chr(65 + n % 26), "é"]), range(40)))
    assert found == [[[65 + n % 26], [233]] for n in range(40)]


def test_a_slow_tokenizer_gets_repaired_text_too():
    assert TextTokenizer(Borrowed()).ids(["\ud800"]) == [[0xFFFD]]


# --- where tokens stand ---

MAKERS = ["xlmr_reranker", "bert_reranker", "roberta_reranker", "modernbert_reranker"]


@pytest.mark.parametrize("maker", MAKERS)
def test_located_ids_are_the_same_and_spans_lie_in_the_text(load, maker):
    tokenizer = TextTokenizer(load(maker))
    for text in [*PLAIN, *NASTY.values()]:
        ids, spans = tokenizer.locate(text)
        assert [ids] == tokenizer.ids([text])
        assert len(spans) == len(ids)
        for start, end in filter(None, spans):
            assert 0 <= start < end <= len(text)


@pytest.mark.parametrize(
    ("maker", "text", "spans"),
    [
        # Lower case and without accents inside, as written outside.
        ("bert_reranker", "The  Pandaing!", [(0, 3), (5, 10), (10, 13), (13, 14)]),
        ("bert_reranker", " É東京", [(1, 2), (2, 3), (3, 4)]),
        # What the vocabulary cannot spell is one unknown token.
        ("bert_reranker", "a Ωmega bear", [(0, 1), (2, 7), (8, 12)]),
        # The mark of the word's begin stands for no character.
        ("xlmr_reranker", "東京 panda", [None, (0, 1), (1, 2), (3, 8)]),
        # Two bytes, four bytes; the space belongs to the token, but nobody would mark it.
        ("roberta_reranker", "é🐼 the", [(0, 1)] * 2 + [(1, 2)] * 4 + [(3, 6)]),
        ("modernbert_reranker", "é🐼 the", [(0, 1)] * 2 + [(1, 2)] * 4 + [(3, 6)]),
        # White space that is a token by itself; RoBERTa's tokenizer takes it off every token.
        ("modernbert_reranker", "a  b", [(0, 1), (1, 2), (2, 3), (3, 4)]),
        ("roberta_reranker", "a  b", [(0, 1), None, None, (3, 4)]),
        # Halves of a surrogate pair are one character to the tokenizer and two to Python.
        ("roberta_reranker", "\ud83d\udc3c the", [(0, 2)] * 4 + [(3, 6)]),
        ("roberta_reranker", "\ud800 a", [(0, 1)] * 3 + [(2, 3)]),
        ("roberta_reranker", "\ud83d\ud83d\udc3c", [(0, 1)] * 3 + [(1, 3)] * 4),
        ("bert_reranker", "", []),
    ],
)
def test_spans_worked_by_hand(load, maker, text, spans):
    assert TextTokenizer(load(maker)).locate(text).spans == spans


@given(st.text(st.characters(codec=None, categories=["Cs", "L", "Cc", "Zs"])))
def test_a_word_of_letters_is_covered_by_its_tokens(text):
    tokenizer = TextTokenizer(PreTrainedTokenizerFast(tokenizer_object=bytes_tokenizer()))
    covered = {place for span in tokenizer.locate(text).spans if span for place in range(*span)}
    assert covered >= {place for place, letter in enumerate(text) if not letter.isspace()}


def test_a_slow_tokenizer_cannot_tell_where_its_tokens_stand():
    assert TextTokenizer(Borrowed()).locate("ab") == ([97, 98], [None, None])


@pytest.mark.parametrize(
    ("maker", "token", "shown"),
    [
        ("bert_reranker", "##ing", "ing"),
        ("bert_reranker", "[MASK]", "[MASK]"),
        ("bert_reranker", "#", "#"),
        ("xlmr_reranker", "▁panda", "panda"),
        ("xlmr_reranker", "<s>", "<s>"),
        ("roberta_reranker", "Ġthe", "the"),
        ("roberta_reranker", "Ġ", ""),
    ],
)
def test_a_token_reads_without_the_marks_of_its_vocabulary(load, maker, token, shown):
    tokenizer = load(maker)
    assert TextTokenizer(tokenizer).token(tokenizer.convert_tokens_to_ids(token)) == shown


def test_an_id_beyond_the_vocabulary_reads_as_its_number(load):
    assert TextTokenizer(load("bert_reranker")).token(10**6) == "1000000"


# --- pairs ---


@pytest.mark.parametrize(
    ("maker", "before", "between", "after", "passage_type"),
    [
        ("xlmr_reranker", ["<s>"], ["</s>", "</s>"], ["</s>"], None),
        ("roberta_reranker", ["<s>"], ["</s>", "</s>"], ["</s>"], None),
        ("mpnet_reranker", ["<s>"], ["</s>", "</s>"], ["</s>"], None),
        ("bert_reranker", ["[CLS]"], ["[SEP]"], ["[SEP]"], 1),
        ("electra_reranker", ["[CLS]"], ["[SEP]"], ["[SEP]"], 1),
        ("modernbert_reranker", ["[CLS]"], ["[SEP]"], ["[SEP]"], None),
    ],
)
def test_the_template_is_the_models_own(load, maker, before, between, after, passage_type):
    tokenizer = load(maker)
    template = PairTemplate.of(tokenizer)
    assert tokenizer.convert_ids_to_tokens(list(template.before)) == before
    assert tokenizer.convert_ids_to_tokens(list(template.between)) == between
    assert tokenizer.convert_ids_to_tokens(list(template.after)) == after
    assert template.n_special == len(before) + len(between) + len(after)
    assert template.uses_types is (passage_type is not None)
    if passage_type is not None:
        # [CLS] q q [SEP] p p p [SEP]: BERT, section 3.2
        assert template.join([7, 8], [9, 10, 11]).type_ids == [0, 0, 0, 0, 1, 1, 1, 1]


@pytest.mark.parametrize("maker", ["xlmr_reranker", "bert_reranker", "roberta_reranker"])
def test_a_joined_pair_equals_the_tokenizers_own(load, maker):
    tokenizer = load(maker)
    text_tokenizer, template = TextTokenizer(tokenizer), PairTemplate.of(tokenizer)
    for query, passage in zip(PLAIN, reversed(PLAIN), strict=True):
        # Not tokenizer(query, passage): that takes an empty passage for none at all.
        own = tokenizer.backend_tokenizer.encode(query, passage)
        joined = template.join(*text_tokenizer.ids([query, passage]))
        assert joined.ids == own.ids
        if template.uses_types:
            assert joined.type_ids == own.type_ids


def test_a_joined_pair_worked_by_hand():
    template = PairTemplate((0,), (2, 2), (2,), (0,), 0, (0, 0), 0, (0,), uses_types=False)
    assert template.n_special == 4
    assert template.join([5, 6], [7]) == TokenSequence([0, 5, 6, 2, 2, 7, 2])
    assert template.join([], []) == TokenSequence([0, 2, 2, 2])


def test_a_tokenizer_that_does_not_part_the_two_texts_is_refused():
    backend = Tokenizer(models.WordLevel({"a": 0, "b": 1, "?": 2}, unk_token="?"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend)
    with pytest.raises(ModelLoadError, match="not separated by special tokens"):
        PairTemplate.of(tokenizer)


def test_a_sequence_is_attended_whole_unless_told_otherwise():
    assert TokenSequence([4, 5, 6]).n_attended == 3
    assert TokenSequence([4, 5, 6], attended=2).n_attended == 2
    assert TokenSequence([4, 5, 6], attended=0).n_attended == 0


def test_long_texts_go_to_the_tokenizer_in_parts_and_come_back_in_order(monkeypatch):
    monkeypatch.setattr(tokenization, "_CHARS_AT_ONCE", 10)
    assert list(tokenization._parts(["aaaa", "bbbb", "cccc", "d" * 30, "", "e"])) == [
        ["aaaa", "bbbb"],
        ["cccc"],
        ["d" * 30],
        ["", "e"],
    ]


def test_a_cancelled_caller_stops_between_two_parts_of_the_tokenization(load, monkeypatch):
    monkeypatch.setattr(tokenization, "_CHARS_AT_ONCE", 1)
    tokenizer = TextTokenizer(load("bert_encoder"))
    flag = threading.Event()
    flag.set()
    token = current_flag.set(flag)
    try:
        with pytest.raises(Cancelled):
            tokenizer.ids(["a panda", "a bear"])
    finally:
        current_flag.reset(token)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_does_not_wait_for_the_pool_of_threads_that_it_lost(monkeypatch):
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "true")
    tokenizer = TextTokenizer(PreTrainedTokenizerFast(tokenizer_object=wordpiece_tokenizer()))
    texts = ["a panda eats bamboo"] * 64
    expected = tokenizer.ids(texts)  # by the parent's pool
    child = os.fork()
    if child == 0:
        signal.alarm(20)  # a child that hangs is killed
        os._exit(0 if tokenizer.ids(texts) == expected else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
