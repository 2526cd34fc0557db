"""What is refused before Ray is asked."""

from __future__ import annotations

import subprocess
import sys

import pytest
from tests.distributed.conftest import rows, write
from tests.distributed.scorers import Length
from tests.local_ray import needs_ray

from rag_rerankers import DataError, MissingExtraError, ModelOptions, Reranker
from rag_rerankers.distributed import encode_parquet, score_parquet
from rag_rerankers.distributed.cluster import Workers
from rag_rerankers.distributed.libraries import needed
from rag_rerankers.distributed.models import model_of


def test_importing_loads_neither_ray_nor_pyarrow():
    code = (
        "import sys, rag_rerankers, rag_rerankers.distributed, rag_rerankers.cli; "
        "print(sorted({'ray', 'pyarrow', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_missing_library_is_told_with_the_command_that_installs_it():
    with pytest.raises(MissingExtraError, match=r"rag-rerankers\[ray\]"):
        needed("absent_library_of_tests", "scoring")


def test_what_a_library_itself_lacks_is_not_taken_for_the_extra(tmp_path, monkeypatch):
    (tmp_path / "half_there_too.py").write_text("import absent_library_of_tests\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="absent_library_of_tests") as caught:
        needed("half_there_too", "scoring")
    assert not isinstance(caught.value, MissingExtraError)


@pytest.mark.parametrize(
    ("workers", "error"),
    [
        ({"count": 0}, ValueError),
        ({"count": (3, 2)}, ValueError),
        ({"count": (1, 2, 3)}, TypeError),
        ({"count": True}, TypeError),
        ({"count": "2"}, TypeError),
        ({"cpus": -1}, ValueError),
        ({"gpus": "1"}, TypeError),
        ({"gpus": float("nan")}, ValueError),
    ],
)
def test_workers_that_cannot_be(workers, error):
    with pytest.raises(error):
        Workers(**workers)


@pytest.mark.parametrize("model", [7, None, Length, object()])
def test_models_that_cannot_be(model):
    with pytest.raises(TypeError, match="model must be"):
        model_of(model, ModelOptions())


def test_options_of_a_ready_model_are_not_ignored():
    with pytest.raises(ValueError, match="dtype cannot be set"):
        model_of(Length(), ModelOptions(dtype="float32"))


def test_a_model_is_known_by_its_name_and_by_what_its_scores_depend_on(tmp_path, monkeypatch):
    (tmp_path / "model").mkdir()
    monkeypatch.chdir(tmp_path)
    named = model_of("model", ModelOptions(dtype="float32", batch_tokens=99)).described()
    assert named["model"] == str(tmp_path / "model")
    assert named["dtype"] == "float32"
    assert "batch_tokens" not in named
    assert model_of("colbertv2", ModelOptions()).described()["model"] == "colbertv2"
    ready = model_of(Reranker(Length()), ModelOptions()).described()
    assert ready["model"] == model_of(Length(), ModelOptions()).described()["model"]
    assert ready["model"].endswith("scorers.Length")


class TestWithRay:
    @pytest.fixture(autouse=True)
    def _there(self):
        needs_ray()

    def refused(self, source, tmp_path, error, told, call=score_parquet, **arguments):
        with pytest.raises(error, match=told):
            call(source, tmp_path / "out", model=Length(), **arguments)
        assert not (tmp_path / "out").exists()

    def test_columns_that_are_not_there_or_hold_no_text(self, pairs, tmp_path):
        refused = (pairs, tmp_path, DataError)
        self.refused(*refused, "needs one column 'question'", query_column="question")
        self.refused(*refused, "'id' is of type int64", text_column="id")
        self.refused(*refused, "'id' is of type int64: it must hold", query_column="id")

    def test_columns_that_are_there_already(self, tmp_path):
        path = write(tmp_path / "in.parquet", [{**row, "score": 1} for row in rows(0, 2)])
        self.refused(path, tmp_path, DataError, "has a column 'score' already")

    def test_two_new_columns_of_one_name(self, pairs, tmp_path):
        self.refused(pairs, tmp_path, ValueError, "two columns", score_column="error")

    def test_sizes(self, pairs, tmp_path):
        self.refused(pairs, tmp_path, ValueError, "part_rows must be at least 1", part_rows=0)
        self.refused(pairs, tmp_path, TypeError, "batch_size must be an int", batch_size=2.5)

    def test_no_input(self, tmp_path):
        self.refused([], tmp_path, DataError, "no input is given")

    def test_an_output_within_the_input(self, pairs):
        with pytest.raises(DataError, match="lies within the input"):
            score_parquet(pairs, pairs / "out", model=Length())
        with pytest.raises(DataError, match="lies within the input"):
            score_parquet(pairs, pairs, model=Length())

    def test_a_cascade_of_single_texts(self, pairs, tmp_path):
        with pytest.raises(ValueError, match="make 'text' a list of texts"):
            score_parquet(pairs, tmp_path / "out", model="minilm-maxsim > bge-reranker-base")

    def test_vectors_of_another_type(self, pairs, tmp_path):
        with pytest.raises(ValueError, match="dtype must be one of float16, float32"):
            encode_parquet(pairs, tmp_path / "out", dtype="int8")
