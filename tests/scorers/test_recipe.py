from __future__ import annotations

import dataclasses

import pytest

from rag_rerankers.scorers.recipe import Recipe, Side
from rag_rerankers.tokenization import TokenSequence

CLS, SEP, MASK, PAD, Q, D = 101, 102, 103, 0, 1, 2
COLBERT = Recipe(
    query=Side(8, Q),
    document=Side(6, D),
    before=(CLS,),
    after=(SEP,),
    expand_to=8,
    expansion=MASK,
    replaced=PAD,
)


def changed(**values) -> Recipe:
    return dataclasses.replace(COLBERT, **values)


def test_a_colbert_query_is_marked_and_filled_with_masks_that_are_not_attended():
    assert COLBERT.query_sequence([7, 8]) == TokenSequence(
        [CLS, Q, 7, 8, SEP, MASK, MASK, MASK], attended=5
    )


def test_a_full_query_gets_no_masks():
    found = COLBERT.query_sequence([7, 8, 9, 10, 11])
    assert found == TokenSequence([CLS, Q, 7, 8, 9, 10, 11, SEP], attended=8)


def test_an_empty_query_is_mostly_masks():
    assert COLBERT.query_sequence([]) == TokenSequence([CLS, Q, SEP, *[MASK] * 5], attended=3)


def test_masks_are_attended_where_the_checkpoint_says_so():
    found = changed(attend_expansion=True).query_sequence([7])
    assert found.n_attended == 8
    assert found.ids == [CLS, Q, 7, SEP, MASK, MASK, MASK, MASK]


def test_padding_spelled_out_in_a_query_becomes_a_mask_where_it_stands():
    found = COLBERT.query_sequence([7, PAD, 8])
    assert found.ids == [CLS, Q, 7, MASK, 8, SEP, MASK, MASK]
    assert changed(replaced=None).query_sequence([7, PAD]).ids[3] == PAD


def test_a_query_without_expansion_stays_as_long_as_it_is():
    found = changed(expand_to=0).query_sequence([7, 8])
    assert found.ids == [CLS, Q, 7, 8, SEP]
    assert found.n_attended == 5


def test_a_document_is_marked_but_never_filled():
    assert COLBERT.document_sequence([7, PAD]) == TokenSequence([CLS, D, 7, PAD, SEP])


@pytest.mark.parametrize(
    ("recipe", "n_prompt", "query_room", "document_room"),
    [
        (COLBERT, 0, 5, 3),
        (changed(query=Side(8), document=Side(6)), 0, 6, 4),
        (changed(query=Side(8), document=Side(6)), 2, 4, 2),
        (changed(before=(CLS, 9)), 0, 4, 2),
    ],
)
def test_room_is_what_specials_marker_and_prompt_leave(recipe, n_prompt, query_room, document_room):
    assert recipe.room(recipe.query, n_prompt) == query_room
    assert recipe.room(recipe.document, n_prompt) == document_room


def test_the_marker_stands_behind_the_first_special_token():
    recipe = changed(before=(CLS, 9), after=(SEP, 10))
    assert recipe.wrap([7], recipe.document) == [CLS, D, 9, 7, SEP, 10]
    assert recipe.wrap([7], Side(6)) == [CLS, 9, 7, SEP, 10]


def test_an_empty_text_without_any_special_tokens_is_one_filler():
    bare = changed(before=(), after=(), query=Side(8), document=Side(6), filler=9, expand_to=0)
    assert bare.document_sequence([]) == TokenSequence([9])
    assert bare.query_sequence([]).ids == [9]
    assert bare.document_sequence([7]).ids == [7]
    assert COLBERT.document_sequence([]).ids == [CLS, D, SEP]


@pytest.mark.parametrize(
    ("strip", "prompt", "expected"),
    [(False, "", "  a b \n"), (True, "", "a b"), (True, "query: ", "query: a b"),
     (False, "query: ", "query:   a b \n")],
)  # fmt: skip
def test_a_text_gets_its_prompt_and_loses_its_margins_where_the_peer_does_so(
    strip, prompt, expected
):
    recipe = changed(strip=strip)
    assert recipe.prepare("  a b \n", Side(6, prompt=prompt)) == expected
