"""The command `ip2p batch`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from .batch import Batch, Endpoint, Place, reconcile
from .cluster import ray_places
from .ledger import Ledger
from .manifest import read_rows
from .options import (
    Address,
    CAOption,
    HeaderOption,
    InsecureOption,
    JsonOption,
    TimeoutOption,
    finish,
    report,
)
from .progress import View
from .results import write_contact, write_results


def batch(
    manifest: Annotated[
        Path, typer.Argument(help="A .csv, .jsonl or .parquet file, or a folder of pictures.")
    ],
    instruction: Annotated[
        str | None, typer.Argument(help="For a folder, or for rows that have none.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder of the results.")] = (
        Path("edited")
    ),
    text_cfg: Annotated[float | None, typer.Option(help="For rows that do not give it.")] = None,
    image_cfg: Annotated[float | None, typer.Option(help="For rows that do not give it.")] = None,
    steps: Annotated[int | None, typer.Option(help="For rows that do not give it.")] = None,
    seed: Annotated[int | None, typer.Option(help="For rows that do not give it.")] = None,
    checkpoint: Annotated[str | None, typer.Option(help="For rows that do not give it.")] = None,
    retry: Annotated[bool, typer.Option("--retry", help="Try every failed row again.")] = False,
    plan_only: Annotated[
        bool, typer.Option("--plan", help="Read the manifest into the ledger, and stop.")
    ] = False,
    contact: Annotated[
        int, typer.Option(min=0, help="Rows on the contact sheet; 0 for none.")
    ] = 1000,
    per_server: Annotated[int, typer.Option(min=1, help="Jobs in a server's queue at a time.")] = 2,
    patience: Annotated[float, typer.Option(help="Seconds that a server may be away.")] = 60,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="Fetch pictures from this host too.")
    ] = None,
    server: Annotated[
        list[str] | None,
        typer.Option("--server", help="A running ComfyUI; several share the rows."),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(help="Run on a Ray cluster: HOST:PORT, auto (this machine's), or local."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="With --ray, no --server: how many ComfyUIs. One for each GPU by default.",
        ),
    ] = None,
    gpus_per_worker: Annotated[
        float | None, typer.Option(help="What each of them takes of a GPU. A whole one by default.")
    ] = None,
    header: HeaderOption = None,
    insecure: InsecureOption = False,
    ca: CAOption = None,
    timeout: TimeoutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Edit many pictures; stopped at any point, the same command goes on where it was."""
    address = Address(None, header, insecure, ca, timeout)
    given = dict(
        text_cfg=text_cfg, image_cfg=image_cfg, steps=steps, seed=seed, checkpoint=checkpoint
    )
    defaults = {name: value for name, value in given.items() if value is not None}
    with Ledger(output / "ledger.sqlite") as ledger:
        rows, repeats = ledger.begin_plan(read_rows(manifest, instruction, defaults))
        reconcile(ledger, output, retry)
        if not plan_only and ledger.counts().get("pending"):
            options = {**address.options(), "max_queued": per_server, "patience": patience}
            with ExitStack() as stack:
                view = stack.enter_context(View(as_json))
                line = view.line(f"{rows} rows", "starting ComfyUI" if not server else "")
                places: Sequence[Place] = [Endpoint(url, options) for url in server or ()]
                if ray:
                    cluster = ray_places(ray, server or (), options, gpus_per_worker, workers)
                    places = stack.enter_context(cluster)
                elif not server:
                    places = [Endpoint(None, options, output / "comfyui.log")]
                work = Batch(
                    ledger,
                    output,
                    places,
                    per_server=per_server,
                    allow_hosts=allow_host or (),
                    report=view.counter(line),
                )
                finish(work.run())
        if not plan_only:
            write_results(ledger, output)
            if contact:
                write_contact(ledger, output, contact)
        counts = ledger.counts()
        first = [f"row {e.number}: {e.error}" for e in islice(ledger.entries("failed"), 10)]
        noted = (e for e in ledger.entries("done") if e.notes)
        first += [f"row {e.number}, note: {e.notes}" for e in islice(noted, 10)]
    value = {"rows": rows, "repeats": repeats, "states": counts, "folder": str(output)}
    lines = [f"{many} {state}" for state, many in sorted(counts.items())]
    report(as_json, value, "\n".join([", ".join(lines) or "no rows", *first, str(output)]))
    if counts.get("failed"):
        raise typer.Exit(1)
