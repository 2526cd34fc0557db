"""What several peers share; heavy libraries are imported where they are used."""

from __future__ import annotations

import json
import os
import re
import shutil
import string
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.peers.base import Model, Score

__all__ = [
    "BFLOAT16",
    "MAX_LENGTH",
    "VNNI",
    "LateReader",
    "batches",
    "calibration_pairs",
    "converted",
    "cpu_has",
    "is_late",
    "late_scorer",
    "onnx_file",
    "pair_scorer",
    "projection",
    "quiet",
    "torch_module",
]

MAX_LENGTH = 512
VNNI = ("avx512_vnni", "avx_vnni", "amx_int8")
"""CPU flags, any of which means int8 products without overflow."""
BFLOAT16 = ("avx512_bf16", "amx_bf16")
"""CPU flags, any of which means products of bfloat16."""
Row = dict[str, list[int]]
Forward = Callable[[list[dict[str, Any]]], list[Any]]
"""Padded batches in, one array a batch out; it may run them side by side."""


def quiet() -> None:
    """No hub, no progress bars: what is measured is the model."""
    os.environ["HF_HUB_OFFLINE"] = os.environ["TRANSFORMERS_OFFLINE"] = "1"
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    os.environ["TQDM_DISABLE"] = "1"


def is_late(model: Model) -> bool:
    """Whether the model scores by late interaction."""
    return model in ("colbert", "minilm-maxsim")


def cpu_has(*flags: str) -> bool:
    """Whether the CPU says that it has one of these instruction sets."""
    cpuinfo = Path("/proc/cpuinfo")
    words = set(cpuinfo.read_text("utf-8").split()) if cpuinfo.exists() else set()
    return bool(words & set(flags))


def converted(folder: Path, name: str, make: Callable[[Path], None]) -> Path:
    """A conversion of the model beside its folder, made once for these weights.

    Args:
        folder: The model's folder.
        name: Of the conversion.
        make: Fills an empty folder.
    """
    # A packaged model's folder is the package's own; nothing is written there.
    home = Path(__file__).resolve().parents[1] / ".models"
    packaged = "site-packages" in folder.resolve().parts
    beside = home / f"packaged-{folder.parent.name}" if packaged else folder
    weights = (folder / "model.safetensors").stat()
    stamp = f"{weights.st_size:x}-{int(weights.st_mtime):x}"
    place = beside.parent / f"{beside.name}.converted" / stamp / name
    if not place.exists():
        draft = place.with_name(f"{name}.draft-{os.getpid()}")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        try:
            make(draft)
            draft.rename(place)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return place


def batches(lengths: Sequence[int], size: int) -> Iterator[list[int]]:
    """Indices of texts of like length, longest first."""
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    for start in range(0, len(order), size):
        yield order[start : start + size]


def _run(tokenizer: Any, rows: Sequence[Row], size: int, forward: Forward) -> list[Any]:
    groups = list(batches([len(row["input_ids"]) for row in rows], size))
    padded = [
        dict(tokenizer.pad([rows[i] for i in group], return_tensors="np")) for group in groups
    ]
    results: list[Any] = [None] * len(rows)
    for group, array in zip(groups, forward(padded), strict=True):
        for index, values in zip(group, array, strict=True):
            results[index] = values
    return results


def pair_scorer(folder: Path, size: int, forward: Forward) -> Score:
    """Score pairs by a cross-encoder: length-sorted batches, one logit a pair.

    Args:
        folder: The model's folder.
        size: Of the batches.
        forward: Gives logits.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)

    def score(query: str, texts: Sequence[str]) -> list[float]:
        pairs = [query] * len(texts), list(texts)
        read = tokenizer(*pairs, truncation=True, max_length=MAX_LENGTH)
        rows = [{name: read[name][i] for name in read} for i in range(len(texts))]
        return [float(logits[0]) for logits in _run(tokenizer, rows, size, forward)]

    return score


class LateReader:
    """Reads queries and documents as colbert-ai 0.2.22 does, or plainly for a plain encoder."""

    def __init__(self, folder: Path, model: Model) -> None:
        from transformers import AutoTokenizer

        tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        self.tokenizer = tokenizer
        self.colbert = model == "colbert"
        settings: dict[str, Any] = {}
        if self.colbert:
            settings = json.loads((folder / "artifact.metadata").read_text("utf-8"))
        self.query_length = settings.get("query_maxlen", MAX_LENGTH)
        self.document_length = settings.get("doc_maxlen", MAX_LENGTH)
        self.attend = bool(settings.get("attend_to_mask_tokens"))
        self.markers = [0, 0]
        self.skip: set[int] = set()
        if self.colbert:
            kinds = [settings["query_token_id"], settings["doc_token_id"]]
            to_ids = self.tokenizer.convert_tokens_to_ids
            self.markers = to_ids(kinds)
            self.skip = set(to_ids(list(string.punctuation)))

    def _rows(self, texts: Sequence[str], length: int, marker: int) -> list[Row]:
        room = length - self.colbert
        read = self.tokenizer(list(texts), truncation=True, max_length=room)["input_ids"]
        inner = [[ids[0], marker, *ids[1:]] if self.colbert else list(ids) for ids in read]
        return [{"input_ids": ids, "attention_mask": [1] * len(ids)} for ids in inner]

    def query(self, text: str) -> Row:
        """The query, filled with [MASK]s that count but are not attended to."""
        (row,) = self._rows([text], self.query_length, self.markers[0])
        if self.colbert:
            missing = self.query_length - len(row["input_ids"])
            row["input_ids"] += [self.tokenizer.mask_token_id] * missing
            row["attention_mask"] += [int(self.attend)] * missing
        return row

    def documents(self, texts: Sequence[str]) -> list[Row]:
        """The documents."""
        return self._rows(texts, self.document_length, self.markers[1])

    def kept(self, row: Row) -> list[int]:
        """Positions whose vectors count in a document."""
        return [at for at, token in enumerate(row["input_ids"]) if token not in self.skip]


def late_scorer(folder: Path, model: Model, size: int, forward: Forward) -> Score:
    """Score by MaxSim: the query once, documents in length-sorted batches.

    Args:
        folder: The model's folder.
        model: Which.
        size: Of the batches.
        forward: Gives unit vectors.
    """
    reader = LateReader(folder, model)

    def score(query: str, texts: Sequence[str]) -> list[float]:
        (vectors,) = _run(reader.tokenizer, [reader.query(query)], 1, forward)
        rows = reader.documents(texts)
        return [
            float((document[reader.kept(row)] @ vectors.T).max(0).sum())
            for row, document in zip(rows, _run(reader.tokenizer, rows, size, forward), strict=True)
        ]

    return score


def torch_module(folder: Path, model: Model, attention: str) -> tuple[Any, dict[str, Any]]:
    """The model for a converter, and an example of its inputs.

    Args:
        folder: The model's folder.
        model: Which; late interaction comes with projection and normalisation.
        attention: transformers' ``attn_implementation``.
    """
    import torch
    from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer

    class Flat(torch.nn.Module):
        """Inputs by position, one tensor out."""

        def __init__(self, names: list[str]) -> None:
            super().__init__()
            kind = AutoModel if is_late(model) else AutoModelForSequenceClassification
            self.model = kind.from_pretrained(folder, attn_implementation=attention)
            self.names = names
            self.linear = projection(folder) if model == "colbert" else torch.nn.Identity()

        def forward(self, *values: torch.Tensor) -> torch.Tensor:
            output: torch.Tensor = self.model(
                **dict(zip(self.names, values, strict=True)), return_dict=False
            )[0]
            if not is_late(model):
                return output
            return torch.nn.functional.normalize(self.linear(output), dim=-1)

    tokenizer = AutoTokenizer.from_pretrained(folder)
    # Two rows of unlike length: a tracer must see a mask that matters.
    texts = ["one", "a longer one than that"], ["a text", "words enough for padding"]
    example = tokenizer(*texts[: 1 if is_late(model) else 2], padding=True, return_tensors="pt")
    names = [n for n in example if not (is_late(model) and n == "token_type_ids")]
    return Flat(names).eval(), {name: example[name] for name in names}


def projection(folder: Path) -> Any:
    """ColBERT's linear layer."""
    import torch
    from safetensors import safe_open

    with safe_open(folder / "model.safetensors", "pt") as weights:
        weight = weights.get_tensor("linear.weight")
    linear = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    linear.weight.data.copy_(weight)
    return linear


def onnx_file(folder: Path, model: Model) -> Path:
    """The model as float32 ONNX.

    Of torch's two exporters with eager or sdpa attention, with and without ONNX Runtime's
    ``transformers.optimizer``, this was the fastest graph in float32 and in int8 (MiniLM, AVX2).
    """

    def make(place: Path) -> None:
        import onnx
        import torch

        module, example = torch_module(folder, model, "eager")
        axes = {name: {0: "batch", 1: "tokens"} for name in example}
        # Above 2 GB the exporter strews a file a tensor; they are gathered into one.
        loose = place / "loose"
        loose.mkdir()
        output = {0: "batch", 1: "tokens"} if is_late(model) else {0: "batch"}
        with torch.inference_mode():
            torch.onnx.export(
                module,
                tuple(example.values()),
                str(loose / "model.onnx"),
                input_names=list(example),
                output_names=["output"],
                dynamic_axes={**axes, "output": output},
                opset_version=17,
                dynamo=False,
            )
        graph = onnx.load(str(loose / "model.onnx"))
        onnx.save(graph, str(place / "model.onnx"), save_as_external_data=True, location="weights")
        shutil.rmtree(loose)

    return converted(folder, "onnx", make) / "model.onnx"


def calibration_pairs() -> list[tuple[str, str]]:
    """English pairs for calibration: Python's own help texts, title and paragraph."""
    from pydoc_data.topics import topics

    pairs = []
    for title, text in sorted(topics.items()):
        for paragraph in re.split(r"\n\s*\n", text)[1:]:
            words = paragraph.split()
            if 30 < len(words) < 300:
                pairs.append((f"What does Python say about {title}?", " ".join(words)))
    return pairs[:: max(1, len(pairs) // 64)][:64]
