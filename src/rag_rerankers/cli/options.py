"""Options that several commands have: one name, one help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["Device", "Dtype", "Keep", "LongDocuments", "MaxLength", "StoreFolder", "Verbose"]

Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")]
Dtype = Annotated[str, typer.Option(help="auto, float32, bfloat16, float16, int8.")]
Keep = Annotated[
    int | None, typer.Option(help="Texts that a cascade's later models read; 15 by default.")
]
LongDocuments = Annotated[str, typer.Option(help="truncate or max_passage.")]
MaxLength = Annotated[int | None, typer.Option(help="Tokens that the model reads.")]
StoreFolder = Annotated[
    Path | None,
    typer.Option(help="Folder that keeps the vectors of texts (late interaction only)."),
]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Say what runs where.")]
