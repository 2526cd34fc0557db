"""What was measured on, and with which versions; no host names, no paths."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from functools import lru_cache
from pathlib import Path
from typing import Any

__all__ = ["SHOWN", "cpu_flags", "has_bfloat16", "machine", "machine_name", "versions"]

_TOLD = ("avx2", "fma", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
_ARM = ("asimddp", "bf16", "i8mm", "sve")
# What the page shows of an environment; the JSON has everything.
SHOWN = (
    "rag-rerankers",
    "torch",
    "transformers",
    "tokenizers",
    "numpy",
    "sentence-transformers",
    "FlagEmbedding",
    "onnxruntime",
    "openvino",
    "nncf",
    "optimum",
    "optimum-onnx",
    "optimum-intel",
    "FlashRank",
    "rerankers",
    "pylate",
    "llama-index-core",
    "llama-index-postprocessor-colbert-rerank",
    "flash-attn",
)
_LIST = (
    "import importlib.metadata as m, json;"
    "print(json.dumps({d.metadata['Name']: d.version for d in m.distributions()}))"
)


@lru_cache(maxsize=1)
def machine() -> dict[str, Any]:
    """Processor, cores, instructions that matter here, memory, system."""
    info = _cpuinfo()
    flags = cpu_flags()
    return {
        "cpu": info.get("model name") or platform.processor() or platform.machine(),
        "cpu_family": f"{info.get('cpu family', '?')}/{info.get('model', '?')}",
        "architecture": platform.machine(),
        "cores": _cores(),
        "flags": [flag for flag in (*_TOLD, *_ARM) if flag in flags],
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": platform.python_version(),
    }


def machine_name() -> str:
    """Short, the same for the same kind of machine; no slash, for it is part of keys."""
    found = machine()
    name = f"{found['cpu']} ({found['cpu_family'].replace('/', '-')}), {found['cores']} cores"
    return name.replace("/", "-")


def versions(python: Path) -> dict[str, str]:
    """Every package of an environment."""
    done = subprocess.run([str(python), "-c", _LIST], capture_output=True, text=True, check=True)
    found: dict[str, str] = json.loads(done.stdout)
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))


def has_bfloat16() -> bool:
    """Whether the CPU multiplies bfloat16 natively."""
    return bool(cpu_flags() & {"avx512_bf16", "amx_bf16", "bf16"})


@lru_cache(maxsize=1)
def cpu_flags() -> frozenset[str]:
    """The instruction sets that the system names."""
    info = _cpuinfo()
    return frozenset((info.get("flags") or info.get("Features") or "").split())


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@lru_cache(maxsize=1)
def _cpuinfo() -> dict[str, str]:
    """The first processor of ``/proc/cpuinfo``."""
    path = Path("/proc/cpuinfo")
    if not path.exists():
        return {}
    first = path.read_text("utf-8", "replace").split("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}
