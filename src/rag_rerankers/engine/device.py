"""Chooses where a model runs and in which precision."""

from __future__ import annotations

import platform

import torch

__all__ = [
    "choose_device",
    "choose_dtype",
    "cpu_has_bfloat16",
    "cpu_has_fast_int8",
    "default_batch_tokens",
    "float_dtype",
]

_DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "int8": torch.int8,
}


def choose_device(device: str) -> torch.device:
    """Turn ``"auto"`` or a device string into a device that exists.

    ``"auto"`` is CUDA if there is one, else the CPU. Apple's MPS is never chosen by itself: users
    report hangs and crashes with large rerankers on it.

    Raises:
        ValueError: No such device, with what there is instead.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise ValueError(
            f"device {device!r} is not one that torch knows: use 'auto', 'cpu', 'cuda', "
            "'cuda:0' or 'mps'"
        ) from error
    if chosen.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (chosen.index or 0) >= count:
            raise ValueError(
                f"device {device!r} is not there: torch {torch.__version__} sees {count} CUDA "
                "devices. Use device='cpu', or install a torch build for your GPU"
            )
    if chosen.type == "mps" and not torch.backends.mps.is_available():
        raise ValueError(f"device {device!r} is not there: torch sees no MPS. Use device='cpu'")
    if chosen.type not in {"cpu", "cuda", "mps"}:
        _check_other_backend(device, chosen)
    return chosen


def _check_other_backend(name: str, device: torch.device) -> None:
    try:
        works = torch.ones(1, device=device).item() == 1.0
    except (RuntimeError, AssertionError, ImportError) as error:
        raise ValueError(f"device {name!r} is not there: {error}. Use device='cpu'") from error
    if not works:
        raise ValueError(f"device {name!r} does not compute. Use device='cpu'")


def choose_dtype(dtype: str, device: torch.device) -> torch.dtype:
    """Turn ``"auto"`` or a name into a dtype; ``torch.int8`` stands for int8 products.

    ``"auto"`` is the fastest that ranks as float32 does (``docs/performance.md`` has the figures):
    on a CPU int8 where the products are fast, else bfloat16 where the hardware multiplies it
    natively, else float32; on CUDA bfloat16, or float16 before Ampere. It depends on the machine
    alone, never on a measurement, so that scores do not change from run to run.
    """
    if dtype == "int8":
        _check_int8(device)
    if dtype != "auto":
        return _DTYPES[dtype]
    if device.type == "cpu" and cpu_has_fast_int8():
        return torch.int8
    return float_dtype(device)


def float_dtype(device: torch.device) -> torch.dtype:
    """The fastest float there: emulated half precision on a CPU is slower than float32."""
    if device.type == "cuda":
        native = torch.cuda.get_device_capability(device) >= (8, 0)
        return torch.bfloat16 if native else torch.float16
    if device.type == "cpu" and cpu_has_bfloat16():
        return torch.bfloat16
    return torch.float32


def cpu_has_fast_int8() -> bool:
    """Whether int8 products are at least as fast as float ones: on x86 from AVX2 on they are.

    On the oldest of these (AMD's first EPYC generation) they are no more than that.
    """
    from rag_rerankers.engine.linear import int8_is_there

    vectors = torch.backends.cpu.get_cpu_capability().startswith("AVX")
    return platform.machine() in {"x86_64", "AMD64"} and vectors and int8_is_there()


def _check_int8(device: torch.device) -> None:
    from rag_rerankers.engine.linear import int8_is_there

    if device.type != "cpu":
        raise ValueError(
            f"dtype 'int8' is for the CPU, not for {device}: use 'bfloat16' or 'float16' there, "
            "or device='cpu'"
        )
    if not int8_is_there():
        raise ValueError(
            f"dtype 'int8' needs oneDNN, which torch {torch.__version__} does not have on this "
            "machine: use 'float32' or 'bfloat16'"
        )


def cpu_has_bfloat16() -> bool:
    """Whether the CPU has instructions for bfloat16 products (AVX512-BF16, AMX, or Arm's)."""
    # torch tells the capabilities of the CPU in a public function from 2.10 on.
    if hasattr(torch.cpu, "get_capabilities"):
        found = torch.cpu.get_capabilities()
        return any(found.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16"))
    return any(
        getattr(torch.cpu, name, lambda: False)()
        for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    )


def default_batch_tokens(device: torch.device) -> int:
    """Tokens per forward pass: what keeps the device busy without more memory than needed.

    On a CPU small batches stay in the cache and win; a GPU wants tens of thousands of tokens.
    """
    return 2048 if device.type == "cpu" else 32768
