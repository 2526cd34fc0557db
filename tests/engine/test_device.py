from __future__ import annotations

import pytest
import torch

from rag_rerankers.engine import device as device_module
from rag_rerankers.engine import linear
from rag_rerankers.engine.device import (
    choose_device,
    choose_dtype,
    cpu_has_bfloat16,
    cpu_has_fast_int8,
    default_batch_tokens,
)

CPU, CUDA, MPS = torch.device("cpu"), torch.device("cuda"), torch.device("mps")


@pytest.fixture
def cuda(monkeypatch):
    """Pretend to have this many CUDA devices, of this capability."""

    def pretend(count: int, capability: tuple[int, int] = (8, 0)) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _=None: capability)

    return pretend


@pytest.mark.parametrize(("count", "expected"), [(0, CPU), (1, CUDA)])
def test_auto_is_cuda_if_there_is_one_else_the_cpu(cuda, count, expected):
    cuda(count)
    assert choose_device("auto") == expected


def test_mps_is_never_chosen_by_itself(cuda, monkeypatch):
    cuda(0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose_device("auto") == CPU
    assert choose_device("mps") == MPS


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "cuda:1"])
def test_a_device_that_is_there_is_taken(cuda, name):
    cuda(2)
    assert choose_device(name) == torch.device(name)


@pytest.mark.parametrize(
    ("count", "name", "told"),
    [
        (0, "cuda", "sees 0 CUDA devices"),
        (0, "cuda:0", "sees 0 CUDA devices"),
        (1, "cuda:1", "sees 1 CUDA devices"),
        (0, "mps", "sees no MPS"),
        (0, "gpu", "is not one that torch knows"),
        (0, "", "is not one that torch knows"),
        (0, "cpu:x", "is not one that torch knows"),
        (0, "meta", "is not there"),
        (0, "hpu", "is not there"),
    ],
)
def test_a_device_that_is_not_there_is_refused_with_what_to_use(
    cuda, monkeypatch, count, name, told
):
    cuda(count)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ValueError, match=told) as caught:
        choose_device(name)
    assert repr(name) in str(caught.value)
    assert "'cpu'" in str(caught.value)


@pytest.mark.parametrize("device", [CPU, CUDA, MPS], ids=str)
@pytest.mark.parametrize("name", ["float32", "bfloat16", "float16"])
def test_a_dtype_that_was_asked_for_is_taken_everywhere(device, name):
    assert choose_dtype(name, device) == getattr(torch, name)


@pytest.mark.parametrize(
    ("capability", "expected"),
    [((9, 0), torch.bfloat16), ((8, 0), torch.bfloat16), ((7, 5), torch.float16)],
)
def test_auto_on_cuda_is_the_half_precision_that_the_device_multiplies(cuda, capability, expected):
    cuda(1, capability)
    assert choose_dtype("auto", CUDA) == expected


@pytest.mark.parametrize(("has", "expected"), [(True, torch.bfloat16), (False, torch.float32)])
def test_auto_on_the_cpu_is_bfloat16_only_with_the_instructions(monkeypatch, has, expected):
    monkeypatch.setattr(device_module, "cpu_has_bfloat16", lambda: has)
    monkeypatch.setattr(device_module, "cpu_has_fast_int8", lambda: False)
    assert choose_dtype("auto", CPU) == expected
    assert choose_dtype("auto", MPS) == torch.float32


def test_auto_on_the_cpu_is_int8_where_that_is_fast_and_only_there(cuda, monkeypatch):
    monkeypatch.setattr(device_module, "cpu_has_fast_int8", lambda: True)
    cuda(1, (9, 0))
    assert choose_dtype("auto", CPU) == torch.int8
    assert choose_dtype("auto", CUDA) == torch.bfloat16
    assert choose_dtype("auto", MPS) == torch.float32


@pytest.mark.parametrize(
    ("machine", "capability", "there", "expected"),
    [
        ("x86_64", "AVX2", True, True),
        ("AMD64", "AVX512", True, True),
        ("x86_64", "DEFAULT", True, False),
        ("x86_64", "AVX2", False, False),
        ("aarch64", "SVE256", True, False),
    ],
)
def test_int8_is_fast_on_x86_with_vectors(monkeypatch, machine, capability, there, expected):
    monkeypatch.setattr(device_module.platform, "machine", lambda: machine)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(linear, "int8_is_there", lambda: there)
    assert cpu_has_fast_int8() is expected


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"avx512_bf16": True, "amx_bf16": False}, True),
        ({"amx_bf16": True}, True),
        ({"bf16": True, "architecture": "aarch64"}, True),
        ({"avx512_bf16": False, "avx2": True, "architecture": "x86_64"}, False),
        ({}, False),
    ],
)
def test_the_cpus_own_word_decides(monkeypatch, capabilities, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert cpu_has_bfloat16() is expected


def test_an_older_torch_is_asked_in_its_own_way(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False, raising=False)
    assert cpu_has_bfloat16() is True
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    assert cpu_has_bfloat16() is False


def test_an_accelerator_gets_larger_batches_than_the_cpu():
    assert 0 < default_batch_tokens(CPU) < default_batch_tokens(CUDA)
