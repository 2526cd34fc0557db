"""``rag-rerankers serve``: models behind a REST API."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rag_rerankers import ModelOptions
from rag_rerankers.cli.options import (
    Device,
    Dtype,
    Keep,
    LongDocuments,
    MaxLength,
    StoreFolder,
    Verbose,
)
from rag_rerankers.cli.screen import failing_softly, no_loading_bar, say

__all__ = ["serve"]


def serve(
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="Alias, hub id or folder, a cascade 'cheap>strong', or NAME=MODEL to serve it "
            "under another name. Several are possible; the first is the default."
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8080,
    api_key_file: Annotated[
        Path | None, typer.Option(help="File with the API keys, one a line.")
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Listen beyond this machine without a key.")
    ] = False,
    timeout: Annotated[float, typer.Option(help="Seconds that a request may take.")] = 300.0,
    body_timeout: Annotated[
        float, typer.Option(help="Seconds that a request's body may take to arrive.")
    ] = 30.0,
    max_body_mb: Annotated[
        int, typer.Option(min=1, help="Megabytes of a request's body at most.")
    ] = 32,
    max_documents: Annotated[int, typer.Option(help="Documents of a request at most.")] = 5_000,
    max_tokens: Annotated[
        int, typer.Option(help="Tokens of a request at most (estimated: 4 bytes each).")
    ] = 2_000_000,
    max_queue: Annotated[
        int, typer.Option(help="Requests that are let in at once; others get 503.")
    ] = 96,
    max_queue_tokens: Annotated[
        int, typer.Option(help="Their tokens at most (estimated).")
    ] = 2_000_000,
    keep: Keep = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    max_length: MaxLength = None,
    long_documents: LongDocuments = "truncate",
    batch_tokens: Annotated[int | None, typer.Option(help="Tokens per forward pass.")] = None,
    store: StoreFolder = None,
    playground: Annotated[
        bool, typer.Option("--playground/--no-playground", help="A page to try it, at /.")
    ] = True,
    ray: Annotated[
        bool, typer.Option("--ray", help="Deploy replicas on a Ray cluster (extra ray).")
    ] = False,
    replicas: Annotated[
        int | None, typer.Option(help="With --ray: how many; 1 by default.")
    ] = None,
    max_replicas: Annotated[
        int | None, typer.Option(help="With --ray: let the load decide, up to so many.")
    ] = None,
    cpus_per_replica: Annotated[
        float | None, typer.Option(help="With --ray: cores of each; 1 by default.")
    ] = None,
    gpus_per_replica: Annotated[
        float | None, typer.Option(help="With --ray: GPUs of each; 0.5 shares one.")
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="With --ray: the cluster's; else RAY_ADDRESS, else local.")
    ] = None,
    verbose: Verbose = False,
) -> None:
    """Serve models over HTTP, as Cohere, Jina, infinity, vLLM and TEI do."""
    with failing_softly(verbose=verbose):
        from rag_rerankers.server import ServerSettings
        from rag_rerankers.server.keys import read_keys
        from rag_rerankers.server.logs import log_as_json
        from rag_rerankers.server.serving import check_binding
        from rag_rerankers.server.serving import serve as run

        scaling = {
            "replicas": replicas,
            "max_replicas": max_replicas,
            "cpus_per_replica": cpus_per_replica,
            "gpus_per_replica": gpus_per_replica,
            "address": address,
        }
        given = [name for name, value in scaling.items() if value is not None]
        if given and not ray:
            raise ValueError(f"--{given[0].replace('_', '-')} is for --ray")
        settings = ServerSettings(
            models=tuple(model or ["minilm-maxsim"]),
            options=ModelOptions(
                device=device,
                dtype=dtype,
                max_length=max_length,
                long_documents=long_documents,
                batch_tokens=batch_tokens,
                store=store,
            ),
            keep=keep,
            api_keys=() if api_key_file is None else read_keys(api_key_file),
            timeout=timeout,
            body_timeout=body_timeout,
            max_body_bytes=max_body_mb * 1024 * 1024,
            max_documents=max_documents,
            max_tokens=max_tokens,
            max_queue=max_queue,
            max_queue_tokens=max_queue_tokens,
            playground=playground,
        )
        log_as_json(verbose=verbose)
        no_loading_bar()
        names = ", ".join(served.name for served in settings.served())
        if ray:
            from rag_rerankers.server.ray_serve import Scaling, deploy

            check_binding(host, settings, insecure=insecure)
            say(f"deploying {names} on Ray, to be reached on {host} port {port} (ctrl-c stops)")
            deploy(
                settings,
                scaling=Scaling(
                    min_replicas=1 if replicas is None else replicas,
                    max_replicas=max_replicas,
                    cpus=1 if cpus_per_replica is None else cpus_per_replica,
                    gpus=gpus_per_replica or 0,
                ),
                host=host,
                port=port,
                address=address,
                loopback_only=not settings.api_keys and not insecure,
            )
            return
        run(
            settings,
            host=host,
            port=port,
            insecure=insecure,
            tell=lambda url: say(f"serving {names} on {url} (ctrl-c stops)"),
        )
