"""ONNX Runtime on its own: float32, and dynamic int8 from its own quantiser.

Activations are unsigned 8 bit. With signed weights, CPUs without VNNI add up two products in 16
bits, which overflows (seen: scores off by 1.7): ``reduce_range`` (7-bit weights) or unsigned
weights are the remedies there. So configs of plain QInt8 are listed only where VNNI is.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.peers.base import Config, Model, Score
from benchmarks.peers.tools import (
    VNNI,
    converted,
    cpu_has,
    is_late,
    late_scorer,
    onnx_file,
    pair_scorer,
    quiet,
)

__all__ = ["PEER", "quantized"]

SIGNED, REDUCED, UNSIGNED = "QInt8", "QInt8-reduced", "QUInt8"


class OnnxRuntime:
    """An export, a quantiser and a session, as its documentation has it."""

    name = "onnxruntime_int8"
    venv = "peers"
    models: tuple[Model, ...] = ("bge", "minilm-cross", "colbert", "minilm-maxsim")

    def configs(self, model: Model) -> list[Config]:
        """Float32, then kinds of int8, batch sizes and threads."""
        signed = SIGNED if cpu_has(*VNNI) else REDUCED
        kind = "int8" if signed == SIGNED else "int8, reduced range"
        return [
            Config("fp32, batch 1", "float32", {"batch_size": 1}),
            Config("fp32, batch 8", "float32", {"batch_size": 8}),
            Config(f"{kind}, batch 1", "int8", {"batch_size": 1, "kind": signed}),
            Config(f"{kind}, batch 4", "int8", {"batch_size": 4, "kind": signed}),
            Config(f"{kind}, batch 8", "int8", {"batch_size": 8, "kind": signed}),
            Config(
                f"{kind}, batch 1, 1 thread",
                "int8",
                {"batch_size": 1, "threads": 1, "kind": signed},
            ),
            Config("int8, unsigned weights, batch 1", "int8", {"batch_size": 1, "kind": UNSIGNED}),
        ]

    def load(self, folder: Path, model: Model, config: Config) -> Score:
        """One session; inputs and padding by the tokenizer."""
        quiet()
        import onnxruntime

        path = onnx_file(folder, model)
        if config.dtype == "int8":
            path = quantized(folder, path, config.options["kind"])
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = config.options.get("threads", 0)
        settings.log_severity_level = 3
        providers = ["CPUExecutionProvider"]
        session = onnxruntime.InferenceSession(str(path), settings, providers=providers)
        names = [node.name for node in session.get_inputs()]

        def forward(padded: list[dict[str, Any]]) -> list[Any]:
            return [session.run(None, {name: batch[name] for name in names})[0] for batch in padded]

        size = config.options["batch_size"]
        if is_late(model):
            return late_scorer(folder, model, size, forward)
        return pair_scorer(folder, size, forward)


def quantized(folder: Path, path: Path, kind: str) -> Path:
    """The model with int8 weights, a scale per channel.

    Args:
        folder: The model's folder.
        path: The float32 model.
        kind: The ``QuantType`` of the weights, with ``-reduced`` for 7 bits.
    """

    def make(place: Path) -> None:
        from onnxruntime.quantization import QuantType, quantize_dynamic

        quantize_dynamic(
            path,
            place / "model.onnx",
            per_channel=True,
            reduce_range=kind == REDUCED,
            weight_type=QuantType[kind.removesuffix("-reduced")],
            use_external_data_format=True,
        )

    return converted(folder, f"onnx-{kind}", make) / "model.onnx"


PEER = OnnxRuntime()
