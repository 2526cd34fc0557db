"""sentence-transformers' ``CrossEncoder`` with ``backend="openvino"``, and its own int8 export.

With sentence-transformers 5.7 and optimum-intel 1.27. For 6.x it is optimum-intel 2.2, which needs
torchvision; PyPI's is built for CUDA, so beside a CPU build of torch transformers does not import
(``operator torchvision::nms does not exist``). The export calibrates on texts of its own choice
from the hub; here, on Python's help texts.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from benchmarks.peers.base import Config, Model, Score
from benchmarks.peers.tools import MAX_LENGTH, calibration_pairs, converted, quiet

__all__ = ["PEER"]

FP32 = {"INFERENCE_PRECISION_HINT": "f32"}
BF16 = {"INFERENCE_PRECISION_HINT": "bf16"}
FILES = {"plain": "openvino/openvino_model.xml", "int8": "openvino/openvino_model_int8.xml"}


class SentenceTransformersOpenVino:
    """Through optimum-intel."""

    name = "sentence_transformers_openvino"
    venv = "legacy"
    models: tuple[Model, ...] = ("bge", "minilm-cross")

    def configs(self, model: Model) -> list[Config]:
        """Dtypes and batch sizes; unset, the dtype would be bfloat16 where the CPU has it."""
        return [
            Config("fp32, batch 32", "float32", {"batch_size": 32, "settings": FP32}),
            Config("fp32, batch 1", "float32", {"batch_size": 1, "settings": FP32}),
            Config("bf16, batch 1", "bfloat16", {"batch_size": 1, "settings": BF16}),
            Config("bf16, batch 4", "bfloat16", {"batch_size": 4, "settings": BF16}),
            Config("int8, batch 1", "int8", {"batch_size": 1, "settings": {}}),
            Config("int8, batch 4", "int8", {"batch_size": 4, "settings": {}}),
        ]

    def load(self, folder: Path, model: Model, config: Config) -> Score:
        """Export once, then load the file."""
        quiet()
        from sentence_transformers import CrossEncoder

        kind = "int8" if config.dtype == "int8" else "plain"
        settings = {"ov_config": dict(config.options["settings"]), "file_name": FILES[kind]}
        encoder = CrossEncoder(
            str(_export(folder, kind)),
            device="cpu",
            max_length=MAX_LENGTH,
            backend="openvino",
            model_kwargs=settings,
        )
        size = config.options["batch_size"]

        def score(query: str, texts: Sequence[str]) -> list[float]:
            pairs = [(query, text) for text in texts]
            return [float(value) for value in encoder.predict(pairs, batch_size=size)]

        return score


def _export(folder: Path, kind: str) -> Path:
    def plain(place: Path) -> None:
        from sentence_transformers import CrossEncoder

        settings = {"export": True, "load_in_8bit": False}
        CrossEncoder(
            str(folder), device="cpu", backend="openvino", model_kwargs=settings
        ).save_pretrained(str(place))

    def int8(place: Path) -> None:
        from optimum.intel import OVQuantizationConfig
        from sentence_transformers import CrossEncoder, export_static_quantized_openvino_model

        encoder = CrossEncoder(str(source), device="cpu", backend="openvino")
        encoder.save_pretrained(str(place))
        for file in (place / "openvino").iterdir():
            file.unlink()  # the float32 weights, which are in the other folder
        lines = [json.dumps({"text": " ".join(pair)}) for pair in calibration_pairs()]
        (place / "texts").mkdir()
        (place / "texts" / "train.jsonl").write_text("\n".join(lines), "utf-8")
        export_static_quantized_openvino_model(
            encoder,
            OVQuantizationConfig(num_samples=32),
            str(place),
            dataset_name=str(place / "texts"),
            dataset_config_name="default",
            dataset_split="train",
            column_name="text",
            file_suffix="int8",
        )

    source = converted(folder, "st-openvino", plain)
    return source if kind == "plain" else converted(folder, "st-openvino-int8", int8)


PEER = SentenceTransformersOpenVino()
