"""OpenVINO on its own: float32, bfloat16, and two kinds of int8.

``nncf.compress_weights`` stores int8 weights; only dynamic quantisation of the activations makes
the products int8, and OpenVINO silently leaves that out on CPUs without VNNI. So those configs are
listed where VNNI is, and the calibrated int8 of ``nncf.quantize``, which needs none, everywhere.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.peers.base import Config, Model, Score
from benchmarks.peers.tools import (
    BFLOAT16,
    MAX_LENGTH,
    VNNI,
    calibration_pairs,
    converted,
    cpu_has,
    is_late,
    late_scorer,
    pair_scorer,
    quiet,
    torch_module,
)

__all__ = ["PEER"]

FP32 = {"INFERENCE_PRECISION_HINT": "f32"}
BF16 = {"INFERENCE_PRECISION_HINT": "bf16"}
LATENCY = {"PERFORMANCE_HINT": "LATENCY"}
STREAMS = {"PERFORMANCE_HINT": "THROUGHPUT", "NUM_STREAMS": "2"}


class OpenVino:
    """A conversion from torch, a compiled model, dynamic shapes."""

    name = "openvino_direct"
    venv = "peers"
    models: tuple[Model, ...] = ("bge", "minilm-cross", "colbert", "minilm-maxsim")

    def configs(self, model: Model) -> list[Config]:
        """Dtypes, batch sizes, one stream or two; by default OpenVINO chooses both."""
        own_dtype = "bfloat16" if cpu_has(*BFLOAT16) else "float32"
        configs = [
            _config("defaults", own_dtype, "plain", 1, {}),
            _config("fp32, batch 1", "float32", "plain", 1, FP32 | LATENCY),
            _config("fp32, batch 4", "float32", "plain", 4, FP32 | LATENCY),
            _config("fp32, 2 streams", "float32", "plain", 1, FP32 | STREAMS),
            _config("bf16, batch 1", "bfloat16", "plain", 1, BF16 | LATENCY),
            _config("bf16, 2 streams", "bfloat16", "plain", 1, BF16 | STREAMS),
            _config("int8 calibrated, batch 1", "int8", "calibrated", 1, LATENCY),
            _config("int8 calibrated, 2 streams", "int8", "calibrated", 1, STREAMS),
        ]
        if cpu_has(*VNNI):
            # Group 0 is left out: there the products are float's, and bf16 without it is faster.
            for group, size in ((32, 1), (128, 1), (128, 8)):
                label = f"int8 in groups of {group}, batch {size}"
                settings = {**LATENCY, "DYNAMIC_QUANTIZATION_GROUP_SIZE": str(group)}
                configs.append(_config(label, "int8", "compressed", size, settings))
            settings = {**STREAMS, "DYNAMIC_QUANTIZATION_GROUP_SIZE": "128"}
            configs.append(
                _config("int8 in groups of 128, 2 streams", "int8", "compressed", 1, settings)
            )
        return configs

    def load(self, folder: Path, model: Model, config: Config) -> Score:
        """One compiled model; with several streams, as many requests in flight."""
        quiet()
        import openvino

        path = _model_file(folder, model, config.options["weights"])
        settings = dict(config.options["settings"])
        compiled = openvino.Core().compile_model(str(path), "CPU", settings)
        jobs = compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
        names = [port.any_name for port in compiled.inputs]
        size = config.options["batch_size"]
        forward = _streams(compiled, names, jobs) if jobs > 1 else _one_by_one(compiled, names)
        if is_late(model):
            return late_scorer(folder, model, size, forward)
        return pair_scorer(folder, size, forward)


def _config(label: str, dtype: str, weights: str, size: int, settings: dict[str, str]) -> Config:
    options = {"weights": weights, "settings": settings, "batch_size": size}
    return Config(label, dtype, options, method=weights if dtype == "int8" else "")


def _one_by_one(compiled: Any, names: list[str]) -> Any:
    request = compiled.create_infer_request()

    def forward(padded: list[dict[str, Any]]) -> list[Any]:
        return [request.infer({name: batch[name] for name in names})[0].copy() for batch in padded]

    return forward


def _streams(compiled: Any, names: list[str], jobs: int) -> Any:
    import openvino

    queue = openvino.AsyncInferQueue(compiled, jobs)

    def forward(padded: list[dict[str, Any]]) -> list[Any]:
        results: list[Any] = [None] * len(padded)

        def keep(request: Any, index: int) -> None:
            results[index] = request.get_output_tensor(0).data.copy()

        queue.set_callback(keep)
        for index, batch in enumerate(padded):
            queue.start_async({name: batch[name] for name in names}, index)
        queue.wait_all()
        return results

    return forward


def _model_file(folder: Path, model: Model, weights: str) -> Path:
    def plain(place: Path) -> None:
        import openvino

        module, example = torch_module(folder, model, "sdpa")
        made = openvino.convert_model(
            module,
            example_input=tuple(example.values()),
            input=[([-1, -1], openvino.Type.i64)] * len(example),
        )
        for port, name in zip(made.inputs, example, strict=True):
            port.get_tensor().set_names({name})
        openvino.save_model(made, place / "model.xml", compress_to_fp16=False)

    def compressed(place: Path) -> None:
        import nncf
        import openvino

        made = openvino.Core().read_model(source)
        made = nncf.compress_weights(made, mode=nncf.CompressWeightsMode.INT8_SYM)
        openvino.save_model(made, place / "model.xml", compress_to_fp16=False)

    def calibrated(place: Path) -> None:
        import nncf
        import openvino
        from transformers import AutoTokenizer

        made = openvino.Core().read_model(source)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        names = [port.any_name for port in made.inputs]
        texts = [pair[1:] if is_late(model) else pair for pair in calibration_pairs()]
        read = [
            tokenizer(*t, truncation=True, max_length=MAX_LENGTH, return_tensors="np")
            for t in texts
        ]
        rows = [{name: row[name] for name in names} for row in read]
        # Half the range where products could overflow, as for ONNX Runtime's reduce_range.
        fix = nncf.OverflowFix.DISABLE if cpu_has(*VNNI) else nncf.OverflowFix.ENABLE
        made = nncf.quantize(
            made,
            nncf.Dataset(rows),
            subset_size=len(rows),
            model_type=nncf.ModelType.TRANSFORMER,
            advanced_parameters=nncf.AdvancedQuantizationParameters(overflow_fix=fix),
        )
        openvino.save_model(made, place / "model.xml", compress_to_fp16=False)

    source = converted(folder, "openvino", plain) / "model.xml"
    if weights == "plain":
        return source
    cpu = "" if weights == "compressed" or cpu_has(*VNNI) else "-half-range"
    make = {"compressed": compressed, "calibrated": calibrated}[weights]
    return converted(folder, f"openvino-{weights}{cpu}", make) / "model.xml"


PEER = OpenVino()
