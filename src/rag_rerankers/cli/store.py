"""``rag-rerankers store``: fill a token store, and look after it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from rag_rerankers import Reranker, StoreError, StoreInfo, TokenStore
from rag_rerankers.cli.options import Device, Dtype, LongDocuments, Verbose
from rag_rerankers.cli.screen import (
    failing_softly,
    no_loading_bar,
    print_json,
    progress_bar,
    say,
    stderr,
    stdout,
)
from rag_rerankers.cli.texts import read_texts
from rag_rerankers.store.database import FILE
from rag_rerankers.store.shelf import COMPRESSIONS, DEFAULT_COMPRESSION
from rag_rerankers.store.sizes import parse_size, size_text

__all__ = ["store"]

store = typer.Typer(
    help="Keep the token vectors of texts, so that each is encoded once.", no_args_is_help=True
)

Folder = Annotated[Path, typer.Argument(help="The store's folder.")]
Json = Annotated[bool, typer.Option("--json", help="Print a JSON object.")]


@store.command()
def info(folder: Folder, as_json: Json = False) -> None:
    """Say what a store holds."""
    with failing_softly():
        found = _existing(folder).info()
    if as_json:
        print_json({**asdict(found), "entries": found.entries, "vectors": found.vectors})
    else:
        _print_info(found)


@store.command()
def warm(
    folder: Folder,
    texts: Annotated[
        Path,
        typer.Argument(help="One text a line, or .jsonl objects with 'text'; - is stdin."),
    ],
    model: Annotated[str, typer.Option(help="Alias, hub id or folder.")] = "minilm-maxsim",
    compression: Annotated[
        str, typer.Option(help=f"{', '.join(COMPRESSIONS)}.")
    ] = DEFAULT_COMPRESSION,
    max_size: Annotated[
        str | None, typer.Option(help="Bound on the file, such as 20GB: the oldest go.")
    ] = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    max_length: Annotated[int | None, typer.Option(help="Tokens of a text.")] = None,
    long_documents: LongDocuments = "truncate",
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Encode the texts of a file that the store does not hold. May be interrupted at any time."""
    with failing_softly(verbose=verbose):
        kept = TokenStore(
            folder,
            compression=compression,
            max_bytes=None if max_size is None else parse_size(max_size),
        )
        total = None if str(texts) == "-" else sum(1 for _ in read_texts(texts))
        with stderr.status(f"loading {model}"):
            no_loading_bar()
            reranker = Reranker(
                model,
                device=device,
                dtype=dtype,
                max_length=max_length,
                long_documents=long_documents,
                store=kept,
            )
        with progress_bar() as bar:
            task = bar.add_task("encoding", total=total)
            done = reranker.warm(read_texts(texts), tell=lambda n: bar.advance(task, n))
    if as_json:
        print_json({**asdict(done), "present": done.present})
        return
    stdout.print(
        f"{done.encoded} texts encoded in {done.seconds:.1f} s, {done.present} were there already"
    )
    if done.cut:
        say(f"{done.cut} texts were cut (--long-documents max_passage reads all of them)")


@store.command()
def verify(folder: Folder, as_json: Json = False) -> None:
    """Read every entry; damaged ones are removed, and encoded again when they are needed."""
    with failing_softly():
        found = _existing(folder).verify()
    if as_json:
        print_json(asdict(found))
    else:
        stdout.print(f"{found.entries} entries read, {found.damaged} of them damaged and removed")


@store.command()
def prune(
    folder: Folder,
    max_size: Annotated[
        str | None, typer.Option(help="Keep no more than this, such as 20GB: the oldest go.")
    ] = None,
    unused_days: Annotated[
        float | None, typer.Option(help="Remove what has not been used for so long.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Remove all of a model: its name, or its fingerprint.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Remove entries, and give the room back to the disk."""
    with failing_softly():
        if max_size is None and unused_days is None and model is None:
            raise ValueError("say what to remove: --max-size, --unused-days or --model")
        most = None if max_size is None else parse_size(max_size)
        pruned = _existing(folder).prune(
            max_bytes=most,
            unused_days=unused_days,
            model=model,
        )
    if as_json:
        print_json(asdict(pruned))
    else:
        stdout.print(f"{pruned.entries} entries removed, {size_text(pruned.freed)} freed")


def _existing(folder: Path) -> TokenStore:
    """The store of a folder, which must be one: asking about it does not make it."""
    if not folder.expanduser().joinpath(FILE).is_file():
        raise StoreError(f"there is no token store in {folder}: 'store warm' makes one")
    return TokenStore(folder)


def _print_info(found: StoreInfo) -> None:
    stdout.print(
        Text(
            f"{found.path}: {found.entries} texts, {found.vectors} vectors, "
            f"{size_text(found.size)} on disk"
        )
    )
    if not found.models:
        return
    table = Table(box=None, pad_edge=False)
    for name in ("model", "compression", "texts", "vectors", "size", "bytes/vector", "fingerprint"):
        table.add_column(name, justify="left" if name in ("model", "fingerprint") else "right")
    for model in found.models:
        table.add_row(
            Text(model.name, overflow="ellipsis"),
            model.compression,
            str(model.entries),
            str(model.vectors),
            size_text(model.size),
            f"{model.bytes_per_vector:.1f}",
            model.fingerprint[:12],
        )
    stdout.print(table)
