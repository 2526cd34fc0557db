from __future__ import annotations

import ctypes
import sys
import threading

import pytest
import torch

from rag_rerankers.engine import machine_code as module
from rag_rerankers.engine.machine_code import Vectors, cpu_vectors, divide, machine_code

ALL = {"avx2": True, "fma": True, "avx512f": True, "avx512bf16": True}


@pytest.mark.parametrize(
    ("level", "lacking", "expected"),
    [
        ("AVX512", (), Vectors(16, halves=True)),
        ("AVX512", ("avx512bf16",), Vectors(16, halves=False)),
        ("AVX512", ("avx512f", "avx512bf16"), Vectors(8, halves=False)),
        ("AVX2", (), Vectors(8, halves=False)),
        ("AVX2", ("fma",), Vectors(0, halves=False)),
        ("AVX2", ("avx2",), Vectors(0, halves=False)),
        ("DEFAULT", (), Vectors(0, halves=False)),
    ],
)
def test_vectors_are_those_that_torch_uses_and_the_cpu_has(level, lacking, expected, monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: level)
    monkeypatch.setattr(module, "_features", lambda: {**ALL, **dict.fromkeys(lacking, False)})
    assert cpu_vectors() == expected


def test_without_llvmlite_there_are_none(monkeypatch):
    features = module._features
    features.cache_clear()
    monkeypatch.setitem(sys.modules, "llvmlite", None)
    try:
        assert cpu_vectors() == Vectors(0, halves=False)
    finally:
        features.cache_clear()


DOUBLE = """
define void @"double"(ptr %where, i64 %times) {
  %number = load i64, ptr %where
  %product = mul i64 %number, %times
  store i64 %product, ptr %where
  ret void
}
"""


@pytest.fixture
def needs_llvm():
    pytest.importorskip("llvmlite", reason="needs the extra 'cpu'")


@pytest.mark.usefixtures("needs_llvm")
def test_a_function_of_a_module_is_called():
    def make():
        return machine_code(DOUBLE, {"double": (ctypes.c_void_p, ctypes.c_int64)})["double"]

    functions = []
    threads = [threading.Thread(target=lambda: functions.append(make())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    number = ctypes.c_int64(3)
    for function in functions:
        function(ctypes.addressof(number), 2)
    assert number.value == 3 * 2**4


@pytest.mark.usefixtures("needs_llvm")
def test_what_llvm_does_not_take_is_an_error():
    with pytest.raises(RuntimeError, match="expected"):
        machine_code("define nonsense", {})


@pytest.mark.parametrize(
    ("tasks", "cores", "ranges"),
    [
        (1, 1, [(0, 1)]),
        (5, 1, [(0, 5)]),
        (5, 2, [(0, 2), (2, 5)]),
        (2, 4, [(0, 1), (1, 2)]),
        (9, 3, [(0, 3), (3, 6), (6, 9)]),
    ],
)
def test_work_is_divided(tasks, cores, ranges):
    found = []
    divide(lambda first, stop: found.append((first, stop)), tasks, cores)
    assert sorted(found) == ranges
