from __future__ import annotations

import pytest
from tests.samples import NASTY

from rag_rerankers.plaid.catalogue import (
    Catalogue,
    Passage,
    check_passages,
    read_passages,
    write_passages,
)


def test_passages_are_what_was_given():
    found = check_passages(("a", "b"), iter(["x", "y"]), [None, {"page": 3}])
    assert found == [Passage("a", "x", "{}"), Passage("b", "y", '{"page": 3}')]
    assert check_passages([], []) == []


@pytest.mark.parametrize(
    ("given", "error", "match"),
    [
        ((["a"], ["x", "y"]), ValueError, "1 ids for 2 texts"),
        ((["a", "b", "a"], ["x", "y", "z"]), ValueError, "'a' is given twice, at 0 and 2"),
        (([1], ["x"]), TypeError, r"id 0 is not a string but int: 1.*str\("),
        (("ab", ["x", "y"]), TypeError, "ids must be a list of strings, not 'ab'"),
        ((["a"], [None]), TypeError, "text 0 is not a string but NoneType"),
        ((["a"], ["x"], []), ValueError, "0 metadatas for 1 texts"),
        ((["a"], ["x"], ["page 3"]), TypeError, "metadata of 'a' must be a mapping.*'page 3'"),
        ((["a"], ["x"], [{"at": object()}]), TypeError, "metadata of 'a' cannot be stored as JSON"),
    ],
)
def test_mistakes_are_told_with_the_value(given, error, match):
    with pytest.raises(error, match=match):
        check_passages(*given)


def test_any_text_survives_the_disk(tmp_path):
    passages = [Passage(name, text) for name, text in NASTY.items()]
    passages += [Passage(text, "", '{"ü": [1, null]}') for text in NASTY.values()]
    write_passages(tmp_path / "passages", passages)
    assert read_passages(tmp_path / "passages") == passages


def test_deleted_passages_are_unknown_and_the_others_keep_their_places():
    passages = [Passage("a", "x"), Passage("b", "y"), Passage("a", "z")]
    catalogue = Catalogue(passages, deleted=[0])
    assert len(catalogue) == 2
    assert catalogue.ids == ["b", "a"]
    assert catalogue.positions(["a", "b"]) == [2, 1]
    assert catalogue.living() == passages[1:]
    gone = Catalogue(passages[:2], deleted=[0, 1])
    assert (len(gone), gone.ids, gone.living()) == (0, [], [])


def test_unknown_and_known_ids_are_named():
    catalogue = Catalogue([Passage(str(number), "") for number in range(9)])
    with pytest.raises(ValueError, match=r"'x' is not in the index of 9 passages.*\.ids"):
        catalogue.positions(["1", "x"])
    with pytest.raises(ValueError, match=r"'0', '1', '2', '3', '4' and 2 more are in the index"):
        catalogue.refuse_known(map(str, range(7)))
    catalogue.refuse_known(["x"])


def test_a_hit_has_metadata_of_its_own():
    passage = Passage("a", "x", '{"pages": [1]}')
    first = passage.hit(2.0, 0.5)
    first.metadata["pages"].append(2)
    assert passage.hit(2.0, 0.5).metadata == {"pages": [1]}
    assert (first.id, first.text, first.score, first.relevance) == ("a", "x", 2.0, 0.5)
    with pytest.raises(AttributeError):
        first.score = 1.0  # type: ignore[misc]
