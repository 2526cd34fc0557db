from __future__ import annotations

import json
import shutil
import string
from pathlib import Path

import pytest
from transformers import AutoConfig, AutoTokenizer

from rag_rerankers import ModelLoadError
from rag_rerankers.scorers.layouts import detect_layout, read_modules, read_recipe
from rag_rerankers.scorers.recipe import Recipe, Side
from rag_rerankers.weights import load_tokenizer
from tests import checkpoints

# The vocabulary of the checkpoints: [PAD], [unused0] ... [unused3], [UNK], [CLS], [SEP], [MASK].
PAD, Q, D, UNUSED2, UNK, CLS, SEP, MASK = 0, 1, 2, 3, 5, 6, 7, 8
PUNCTUATION = frozenset(range(9, 9 + len(string.punctuation)))


@pytest.fixture
def copy(make, tmp_path):
    def copied(maker: str, **settings) -> Path:
        return Path(shutil.copytree(make(maker, **settings), tmp_path / "model"))

    return copied


def edit(path: Path, **values) -> None:
    read = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    path.write_text(json.dumps(read | values), encoding="utf-8")


def layout_of(folder: Path) -> str:
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    return detect_layout(folder, config.architectures or [])


def recipe_of(folder: Path, max_length: int | None = None, limit: int | None = 512) -> Recipe:
    tokenizer = load_tokenizer(folder)
    return read_recipe(layout_of(folder), folder, tokenizer, max_length=max_length, limit=limit)


def test_the_ids_above_are_those_of_the_vocabulary(make):
    tokenizer = AutoTokenizer.from_pretrained(make("stanford_colbert"), local_files_only=True)
    names = ["[PAD]", "[unused0]", "[unused1]", "[unused2]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    ids = [PAD, Q, D, UNUSED2, UNK, CLS, SEP, MASK]
    assert tokenizer.convert_tokens_to_ids(names) == ids
    assert set(tokenizer.convert_tokens_to_ids(list(string.punctuation))) == PUNCTUATION


# --- which layout ---


@pytest.mark.parametrize(
    ("maker", "settings", "layout"),
    [
        ("stanford_colbert", {}, "stanford"),
        ("stanford_colbert", {"artifact": False}, "stanford"),
        ("pylate_colbert", {}, "pylate"),
        ("st_multivector", {}, "sentence-transformers"),
        ("bert_encoder", {}, "plain"),
        ("modernbert_encoder", {}, "plain"),
        ("sentence_transformer", {}, "plain"),
    ],
)
def test_layouts_are_told_apart_by_their_files(make, maker, settings, layout):
    assert layout_of(make(maker, **settings)) == layout


@pytest.mark.parametrize("key", ["query_prefix", "document_length", "skiplist_words"])
def test_one_key_of_pylate_is_enough(copy, key):
    folder = copy("sentence_transformer")
    edit(folder / "config_sentence_transformers.json", **{key: None})
    assert layout_of(folder) == "pylate"


def test_a_module_of_pylate_is_enough(copy):
    folder = copy("pylate_colbert")
    (folder / "config_sentence_transformers.json").write_text("{}")
    assert layout_of(folder) == "pylate"


def test_an_artifact_is_enough_for_stanfords_layout(copy):
    folder = copy("bert_encoder")
    (folder / "artifact.metadata").write_text("{}")
    assert layout_of(folder) == "stanford"


# --- Stanford ---


def test_stanfords_recipe_worked_by_hand(make):
    assert recipe_of(make("stanford_colbert")) == Recipe(
        query=Side(32, Q),
        document=Side(180, D, skip=PUNCTUATION | {PAD}),
        before=(CLS,),
        after=(SEP,),
        filler=UNK,
        expand_to=32,
        expand="fixed",
        expansion=MASK,
        attend_expansion=False,
        replaced=PAD,
        normalize=True,
        mean=False,
        strip=False,
    )


def test_stanfords_settings_are_read_from_its_metadata(make):
    folder = make(
        "stanford_colbert",
        doc_maxlen=99,
        query_maxlen=24,
        attend_to_mask_tokens=True,
        mask_punctuation=False,
        metadata={"query_token_id": "[unused2]", "doc_token_id": "[unused3]"},
    )
    recipe = recipe_of(folder)
    assert recipe.query == Side(24, UNUSED2)
    assert recipe.document == Side(99, UNUSED2 + 1, skip=frozenset({PAD}))
    assert recipe.expand_to == 24
    assert recipe.attend_expansion


def test_metadata_of_old_versions_lies_one_level_deeper(copy):
    folder = copy("stanford_colbert")
    path = folder / "artifact.metadata"
    read = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({"config": read | {"doc_maxlen": 77}, "root": "experiments"}))
    assert recipe_of(folder).document.max_length == 77


def test_without_metadata_colberts_own_defaults_hold(make):
    recipe = recipe_of(make("stanford_colbert", artifact=False))
    assert (recipe.query.max_length, recipe.document.max_length) == (32, 220)
    assert (recipe.query.marker, recipe.document.marker) == (Q, D)
    assert not recipe.attend_expansion


def test_an_interaction_that_is_not_maxsim_is_refused(make):
    folder = make("stanford_colbert", metadata={"interaction": "flipr"})
    with pytest.raises(ModelLoadError, match="'flipr'"):
        recipe_of(folder)


@pytest.mark.parametrize("key", ["query_token_id", "doc_token_id"])
def test_a_marker_that_the_vocabulary_lacks_is_refused(make, key):
    folder = make("stanford_colbert", metadata={key: "[unused77]"})
    with pytest.raises(ModelLoadError, match=r"'\[unused77\]'.* do not belong to these weights"):
        recipe_of(folder)


# --- PyLate ---


def test_pylates_recipe_worked_by_hand(make):
    folder = make("pylate_colbert", prefixes=["[unused0]", "[unused1]"], skiplist_words=["!", "#"])
    assert recipe_of(folder) == Recipe(
        query=Side(32, Q),
        document=Side(180, D, skip=frozenset({9, 11})),
        before=(CLS,),
        after=(SEP,),
        filler=UNK,
        expand_to=32,
        expansion=MASK,
        strip=True,
    )


def test_pylates_new_markers_are_tokens_of_their_own(make):
    folder = make("pylate_colbert")
    size = checkpoints.wordpiece_tokenizer().get_vocab_size()
    recipe = recipe_of(folder)
    assert (recipe.query.marker, recipe.document.marker) == (size, size + 1)


def test_pylates_settings_are_read(make):
    folder = make(
        "pylate_colbert",
        query_length=20,
        document_length=50,
        attend_to_expansion_tokens=True,
        prefixes=["", ""],
        skiplist_words=[],
    )
    recipe = recipe_of(folder)
    assert recipe.query == Side(20)
    assert recipe.document == Side(50)
    assert recipe.expand_to == 20
    assert recipe.attend_expansion


def test_pylate_without_expansion_fills_nothing(make):
    recipe = recipe_of(make("pylate_colbert", do_query_expansion=False))
    assert recipe.expand_to == 0
    assert not recipe.attend_expansion


def test_a_skipped_word_that_the_vocabulary_lacks_does_not_drop_unknown_tokens(make):
    recipe = recipe_of(make("pylate_colbert", skiplist_words=["xylophone", "."]))
    assert UNK not in recipe.document.skip
    assert len(recipe.document.skip) == 1


# --- sentence-transformers ---


def test_sentence_transformers_recipe_worked_by_hand(make):
    assert recipe_of(make("st_multivector")) == Recipe(
        query=Side(32, prompt="[unused0] "),
        document=Side(180, prompt="[unused1] ", skip=PUNCTUATION),
        before=(CLS,),
        after=(SEP,),
        filler=UNK,
        expand_to=32,
        expand="fixed",
        expansion=MASK,
    )


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"query_expansion": {"attend": True}}, {"attend_expansion": True}),
        ({"query_expansion": {"token": "[unused2]"}}, {"expansion": UNUSED2}),
        ({"query_expansion": {"length": 20}}, {"expand_to": 20, "length": 20}),
        (
            {"query_expansion": {"strategy": "min", "length": 12}, "query_length": 40},
            {"expand_to": 12, "expand": "min", "length": 40},
        ),
        ({"expand": False, "query_length": 16}, {"expand_to": 0, "length": 16}),
        ({"expand": False}, {"expand_to": 0, "length": 512}),
        ({"similarity": "meanmaxsim"}, {"mean": True}),
        ({"similarity": "maxsim"}, {"mean": False}),
        ({"normalize": False}, {"normalize": False}),
    ],
)
def test_sentence_transformers_settings_are_read(make, settings, expected):
    recipe = recipe_of(make("st_multivector", **settings))
    found = {name: getattr(recipe, name) for name in expected if name != "length"}
    if "length" in expected:
        found["length"] = recipe.query.max_length
    assert found == expected


def test_a_mask_for_queries_too_is_read(copy):
    folder = copy("st_multivector")
    edit(folder / "2_MultiVectorMask" / "config.json", skiplist_tasks=["query", "document"])
    recipe = recipe_of(folder)
    assert recipe.query.skip == recipe.document.skip == PUNCTUATION


def test_a_mask_that_is_not_known_is_refused(copy):
    folder = copy("st_multivector")
    edit(folder / "2_MultiVectorMask" / "config.json", keep_only_token_ids=[1, 2])
    with pytest.raises(ModelLoadError, match="keep_only_token_ids"):
        recipe_of(folder)


# --- plain encoders and lengths ---


def test_a_plain_encoder_has_no_markers_and_no_expansion(make):
    assert recipe_of(make("bert_encoder")) == Recipe(
        query=Side(512), document=Side(512), before=(CLS,), after=(SEP,), filler=UNK
    )


LATE = ["stanford_colbert", "pylate_colbert", "st_multivector", "bert_encoder"]


@pytest.mark.parametrize("maker", LATE)
def test_the_users_length_is_the_documents(make, maker):
    own = recipe_of(make(maker))
    asked = recipe_of(make(maker), max_length=40)
    assert asked.document.max_length == 40
    if maker != "bert_encoder":
        assert asked.query == own.query


@pytest.mark.parametrize("maker", ["stanford_colbert", "pylate_colbert", "st_multivector"])
def test_a_checkpoint_that_wants_more_than_it_has_positions_gets_what_there_is(make, maker):
    name = "doc_maxlen" if maker == "stanford_colbert" else "document_length"
    folder = make(maker, **{name: 600})
    assert recipe_of(folder, limit=512).document.max_length == 512
    assert recipe_of(folder, limit=None).document.max_length == 600
    assert recipe_of(folder, limit=20).query.max_length == 20


@pytest.mark.parametrize("maker", LATE)
def test_the_user_who_wants_more_than_there_are_positions_is_told(make, maker):
    with pytest.raises(ValueError, match="max_length 513 is more than the 512"):
        recipe_of(make(maker), max_length=513)


@pytest.mark.parametrize(("maker", "least"), list(zip(LATE, [4, 4, 4, 3], strict=True)))
def test_a_length_that_leaves_no_room_for_text_is_refused_with_the_least(make, maker, least):
    assert recipe_of(make(maker), max_length=least).document.max_length == least
    with pytest.raises(ValueError, match=f"use {least} or more"):
        recipe_of(make(maker), max_length=least - 1)


# --- modules ---


def test_modules_are_read_in_order(make):
    folder = make("pylate_colbert")
    assert read_modules(folder) == [
        ("sentence_transformers.models.Transformer", folder),
        ("pylate.models.Dense.Dense", folder / "1_Dense"),
    ]
    assert read_modules(make("bert_encoder")) == []


@pytest.mark.parametrize("content", ["{", '{"a": 1}', "[1]", '[{"type": "Dense"}]', "7"])
def test_a_broken_module_list_is_refused_with_its_path(tmp_path, content):
    (tmp_path / "modules.json").write_text(content)
    with pytest.raises(ModelLoadError, match=r"is not a list of modules") as caught:
        read_modules(tmp_path)
    assert str(tmp_path / "modules.json") in str(caught.value)
