"""sentence-transformers' ``CrossEncoder`` with ``backend="onnx"``, and its own int8 export.

With sentence-transformers 5.7: 6.x wants transformers >= 5, its extra ``onnx`` needs optimum-onnx,
whose newest, 0.1.0, wants transformers < 4.58. Pip finds no set.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.peers.base import Config, Model, Score
from benchmarks.peers.tools import MAX_LENGTH, converted, cpu_has, quiet

__all__ = ["PEER"]


class SentenceTransformersOnnx:
    """Through optimum and ONNX Runtime."""

    name = "sentence_transformers_onnx"
    venv = "legacy"
    models: tuple[Model, ...] = ("bge", "minilm-cross")

    def configs(self, model: Model) -> list[Config]:
        """Float32, and the int8 that its documentation names for this CPU."""
        sizes = (1, 4, 8)
        kind = _kind()
        return [
            Config("defaults"),
            Config("fp32, batch 1", options={"batch_size": 1}),
            *(
                Config(f"int8 {kind}, batch {size}", "int8", {"batch_size": size, "kind": kind})
                for size in sizes
            ),
        ]

    def load(self, folder: Path, model: Model, config: Config) -> Score:
        """Export once, then load the file."""
        quiet()
        from sentence_transformers import CrossEncoder

        place, file = _export(folder, config.options.get("kind"))
        encoder = CrossEncoder(
            str(place),
            device="cpu",
            max_length=MAX_LENGTH,
            backend="onnx",
            model_kwargs={"file_name": file, "provider": "CPUExecutionProvider"},
        )
        size = config.options.get("batch_size", 32)

        def score(query: str, texts: Sequence[str]) -> list[float]:
            pairs = [(query, text) for text in texts]
            return [float(value) for value in encoder.predict(pairs, batch_size=size)]

        return score


def _kind() -> str:
    if cpu_has("avx512_vnni"):
        return "avx512_vnni"
    return "avx512" if cpu_has("avx512f") else "avx2"


def _export(folder: Path, kind: str | None) -> tuple[Path, str]:
    """The folder to load and the file in it."""

    def plain(place: Path) -> None:
        from sentence_transformers import CrossEncoder

        settings = {"provider": "CPUExecutionProvider", "export": True}
        CrossEncoder(
            str(folder), device="cpu", backend="onnx", model_kwargs=settings
        ).save_pretrained(str(place))

    def quantized(place: Path) -> None:
        from sentence_transformers import CrossEncoder, export_dynamic_quantized_onnx_model

        settings = {"provider": "CPUExecutionProvider"}
        encoder = CrossEncoder(str(source), device="cpu", backend="onnx", model_kwargs=settings)
        encoder.save_pretrained(str(place))
        (place / "onnx" / "model.onnx").unlink()
        for data in (place / "onnx").glob("*data"):
            data.unlink()
        export_dynamic_quantized_onnx_model(encoder, kind, str(place))

    source = converted(folder, "st-onnx", plain)
    place = source if kind is None else converted(folder, f"st-onnx-{kind}", quantized)
    (file,) = (place / "onnx").glob("*.onnx")
    return place, f"onnx/{file.name}"


PEER = SentenceTransformersOnnx()
