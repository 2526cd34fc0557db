"""Machine code for this CPU, made by LLVM while the program runs."""

from __future__ import annotations

import ctypes
import logging
import mmap
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple, TypeVar

import torch

__all__ = ["Vectors", "cpu_vectors", "divide", "machine_code", "made_and_right"]

logger = logging.getLogger(__name__)

Made = TypeVar("Made")


class Vectors(NamedTuple):
    """What the CPU has, as far as torch was told to use it.

    Attributes:
        lanes: Numbers of 32 bits in a vector; 0 where no machine code is to be made.
        halves: Whether it multiplies bfloat16, by AVX512-BF16, faster than float32.
        bytes: Whether it multiplies four pairs of bytes at once, by VNNI.
        tiles: Whether it multiplies whole tiles of bytes, by AMX.
    """

    lanes: int
    halves: bool = False
    bytes: bool = False
    tiles: bool = False


def cpu_vectors() -> Vectors:
    """The CPU's vectors; none off x86, before AVX2, without llvmlite, or where it is forbidden."""
    level = torch.backends.cpu.get_cpu_capability()
    has = _features() if level.startswith("AVX") else {}
    if level.startswith("AVX512") and has.get("avx512f"):
        return Vectors(
            16,
            halves=bool(has.get("avx512bf16")) and _model().startswith(_FAST_HALVES),
            bytes=bool(has.get("avx512vnni")),
            tiles=bool(has.get("amx-int8")),
        )
    if has.get("avx2") and has.get("fma"):
        return Vectors(8, bytes=bool(has.get("avxvnni")))
    return Vectors(0)


_FAST_HALVES = "znver"
"""AMD's. On Intel's (tried: emeraldrapids) attention took 1.5 times as long with it as in float32.

By name and not by a clock, which would make scores change from run to run."""


@cache
def _model() -> str:
    """The CPU by LLVM's name."""
    from llvmlite import binding

    return str(binding.get_host_cpu_name())


@cache
def _features() -> dict[str, bool]:
    """The CPU's features by LLVM's names."""
    try:
        from llvmlite import binding
    except ImportError:
        logger.info("models are faster on x86 CPUs with: pip install 'rag-rerankers[cpu]'")
        return {}
    if not _may_make_code():
        logger.warning("this system forbids programs to make machine code: torch does all the work")
        return {}
    return dict(binding.get_host_cpu_features())


def _may_make_code() -> bool:
    """Whether memory that was written may be executed; LLVM would not notice that it may not.

    Hardened services (systemd's ``MemoryDenyWriteExecute``, SELinux) have it forbidden.
    """
    if not hasattr(mmap, "PROT_EXEC"):
        return True
    with mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE) as page:
        start = ctypes.c_char.from_buffer(page)
        protect = ctypes.CDLL(None, use_errno=True).mprotect
        address = ctypes.c_void_p(ctypes.addressof(start))
        allowed = protect(address, mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_EXEC) == 0
        del start  # or the page cannot be given back
    return bool(allowed)


_one_at_a_time = threading.Lock()
"""LLVM's context is one for the process."""
_owners: list[Any] = []
"""Machine code lives as long as these, which is as long as the process."""


def _renew_lock() -> None:
    """A child must not wait for a thread that only its parent has."""
    global _one_at_a_time
    _one_at_a_time = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


def machine_code(
    text: str, functions: Mapping[str, Sequence[Any]]
) -> dict[str, Callable[..., None]]:
    """Compile a module.

    Args:
        text: The module in LLVM's language.
        functions: Those to call, which return nothing, with their arguments' types, ctypes'.

    Returns:
        The functions by name. Other threads of Python run while one does.

    Raises:
        RuntimeError: LLVM does not take it, or cannot make code for this CPU.
    """
    from llvmlite import binding

    with _one_at_a_time:
        binding.initialize_native_target()
        binding.initialize_native_asmprinter()
        module = binding.parse_assembly(text)
        module.verify()
        machine = binding.Target.from_default_triple().create_target_machine(
            cpu=binding.get_host_cpu_name(),
            features=binding.get_host_cpu_features().flatten(),
            opt=3,
            jit=True,
        )
        owner = binding.create_mcjit_compiler(module, machine)
        owner.finalize_object()
        _owners.append(owner)
        return {
            name: ctypes.CFUNCTYPE(None, *arguments)(owner.get_function_address(name))
            for name, arguments in functions.items()
        }


def made_and_right(
    make: Callable[[], Made], right: Callable[[Made], bool], otherwise: str
) -> Made | None:
    """What is made of machine code; None, with a warning, where it cannot be or is wrong.

    Args:
        make: Makes it.
        right: Tries it.
        otherwise: What the warning says: who does the work then.
    """
    try:
        made = make()
        works = right(made)
    except Exception as error:
        # Perhaps an LLVM older than the CPU, or a system that forbids to make machine code.
        logger.warning("%s: %s", otherwise, error)
        return None
    if not works:
        logger.warning("%s: ours are wrong here", otherwise)
    return made if works else None


def divide(work: Callable[[int, int], None], tasks: int, cores: int) -> None:
    """Call ``work`` with ranges that cover all tasks, a thread for each core."""
    bounds = [tasks * core // cores for core in range(cores + 1)]
    own, *others = [bound for bound in pairwise(bounds) if bound[0] < bound[1]]
    threads = [threading.Thread(target=work, args=bound) for bound in others]
    for thread in threads:
        thread.start()
    work(*own)
    for thread in threads:
        thread.join()
