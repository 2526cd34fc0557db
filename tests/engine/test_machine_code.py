from __future__ import annotations

import ctypes
import logging
import os
import subprocess
import sys
import threading

import pytest
import torch

from rag_rerankers.engine import machine_code as module
from rag_rerankers.engine.machine_code import Vectors, cpu_vectors, divide, machine_code


@pytest.fixture
def needs_llvm():
    pytest.importorskip("llvmlite", reason="needs the extra 'cpu'")


ALL = dict.fromkeys(
    ["avx2", "fma", "avxvnni", "avx512f", "avx512bf16", "avx512vnni", "amx-int8"], True
)
BF16, VNNI, AMX = "avx512bf16", "avx512vnni", "amx-int8"


@pytest.mark.parametrize(
    ("level", "name", "lacking", "expected"),
    [
        ("AVX512", "znver4", (AMX,), Vectors(16, halves=True, bytes=True)),
        ("AVX512", "znver5", (AMX, VNNI), Vectors(16, halves=True)),
        ("AVX512", "sapphirerapids", (), Vectors(16, bytes=True, tiles=True)),
        ("AVX512", "znver4", (AMX, BF16), Vectors(16, bytes=True)),
        ("AVX512", "znver4", ("avx512f",), Vectors(8, bytes=True)),
        ("AVX2", "znver4", (), Vectors(8, bytes=True)),
        ("AVX2", "znver4", ("avxvnni",), Vectors(8)),
        ("AVX2", "znver3", ("fma",), Vectors(0)),
        ("AVX2", "znver3", ("avx2",), Vectors(0)),
        ("DEFAULT", "znver3", (), Vectors(0)),
    ],
)
def test_vectors_are_those_that_torch_uses_and_the_cpu_has(
    level, name, lacking, expected, monkeypatch
):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: level)
    monkeypatch.setattr(module, "_model", lambda: name)
    monkeypatch.setattr(module, "_features", lambda: {**ALL, **dict.fromkeys(lacking, False)})
    assert cpu_vectors() == expected


@pytest.fixture
def unknown_features():
    module._features.cache_clear()
    yield
    module._features.cache_clear()


@pytest.mark.usefixtures("unknown_features")
def test_without_llvmlite_there_are_none(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "llvmlite", None)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    with caplog.at_level(logging.INFO):
        assert cpu_vectors() == cpu_vectors() == Vectors(0)
    assert caplog.text.count("pip install 'rag-rerankers[cpu]'") == 1


@pytest.mark.usefixtures("unknown_features")
def test_on_other_cpus_nobody_is_told_to_install_it(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "llvmlite", None)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "SVE256")
    with caplog.at_level(logging.INFO):
        assert cpu_vectors() == Vectors(0)
    assert not caplog.text


HARDENED = """
import ctypes
refuse_executable_memory = 65, 1  # PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN: Linux 6.3
if ctypes.CDLL(None).prctl(*refuse_executable_memory, 0, 0, 0):
    print("unknown")
else:
    from rag_rerankers.engine.machine_code import cpu_vectors
    print(cpu_vectors().lanes)
"""


@pytest.mark.usefixtures("needs_llvm")
@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")
def test_where_the_system_forbids_it_there_are_none():
    done = subprocess.run(
        [sys.executable, "-c", HARDENED], capture_output=True, text=True, timeout=60, check=True
    )
    if done.stdout.strip() == "unknown":
        pytest.skip("needs Linux 6.3")
    assert done.stdout.strip() == "0"
    assert "forbids programs to make machine code" in done.stderr


@pytest.mark.usefixtures("needs_llvm")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_child_does_not_wait_for_its_parents_threads():
    with module._one_at_a_time:
        child = os.fork()
        if not child:
            os._exit(0 if module._one_at_a_time.acquire(timeout=5) else 1)
    assert os.waitpid(child, 0)[1] == 0


DOUBLE = """
define void @"double"(ptr %where, i64 %times) {
  %number = load i64, ptr %where
  %product = mul i64 %number, %times
  store i64 %product, ptr %where
  ret void
}
"""


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
