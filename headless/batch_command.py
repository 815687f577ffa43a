"""The command `ip2p batch`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .asked import Asked
from .errors import InputError
from .options import (
    ASKED,
    HOW_TO_SPEAK,
    Address,
    ForceOption,
    JsonOption,
    finish,
    option,
    read_asked,
    report,
    takes,
)

if TYPE_CHECKING:
    from .batch import Place
    from .ledger import Ledger

SHOWN = 10  # failed rows, and notes, that are printed


@dataclass(frozen=True)
class Places:
    """Where the rows of a batch go.

    servers     addresses of running ComfyUIs; a private one where there are none and no cluster
    per_server  jobs in a server's queue at a time
    patience    seconds that a server may be away
    ray         the address of a Ray cluster, with how many workers and which share of a GPU each
    """

    servers: Sequence[str]
    per_server: int
    patience: float
    ray: str | None
    workers: int | None
    gpus_per_worker: float | None

    def open(self, stack: ExitStack, address: Address, log: Path) -> Sequence[Place]:
        from .batch import Endpoint
        from .cluster import ray_places

        limits = {"max_queued": self.per_server, "patience": self.patience}
        options = {**address.options(), **limits}
        if self.ray:
            share = self.gpus_per_worker
            cluster = ray_places(self.ray, self.servers, options, share, self.workers)
            return stack.enter_context(cluster)
        if self.servers:
            return [Endpoint(url, options) for url in self.servers]
        return [Endpoint(None, options, log)]


PLACES = (
    option(
        *("server", list[str] | None, None, "--server"),
        help="A running ComfyUI; several share the rows. Without it a private one is started.",
    ),
    option(
        *("per_server", int, 2, "--per-server"), min=1, help="Jobs in a server's queue at a time."
    ),
    option(*("patience", float, 60, "--patience"), help="Seconds that a server may be away."),
    option(
        *("ray", str | None, None, "--ray"),
        help="Run on a Ray cluster: HOST:PORT, auto (this machine's), or local.",
    ),
    option(
        *("workers", int | None, None, "--workers"),
        min=1,
        help="With --ray, no --server: how many ComfyUIs. One for each GPU by default.",
    ),
    option(
        *("gpus_per_worker", float | None, None, "--gpus-per-worker"),
        help="What each of them takes of a GPU. A whole one by default.",
    ),
)


def as_places(server: list[str] | None, **others: Any) -> Places:
    return Places(server or (), **others)


@takes("address", HOW_TO_SPEAK, Address)
@takes("places", PLACES, as_places)
@takes("asked", ASKED, read_asked)
def batch(
    manifest: Annotated[
        Path, typer.Argument(help="A .csv, .jsonl or .parquet file, or a folder of pictures.")
    ],
    asked: Asked,
    places: Places,
    address: Address,
    instruction: Annotated[
        str | None,
        typer.Argument(help="For a folder, or for rows that have none; with --preset its value."),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder of the results.")] = (
        Path("edited")
    ),
    retry: Annotated[bool, typer.Option("--retry", help="Try every failed row again.")] = False,
    plan_only: Annotated[
        bool, typer.Option("--plan", help="Read the manifest into the ledger, and stop.")
    ] = False,
    contact: Annotated[
        int, typer.Option("--contact", min=0, help="Rows on the contact sheet; 0 for none.")
    ] = 1000,
    allow_host: Annotated[
        list[str] | None, typer.Option("--allow-host", help="Fetch pictures from this host too.")
    ] = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Edit many pictures; stopped at any point, the same command goes on where it was.

    The settings of the edit are for rows that do not give them.
    """
    from .batch import reconcile
    from .ledger import Ledger
    from .manifest import read_rows
    from .results import write_contact, write_results

    if not manifest.exists():
        raise InputError(f"{manifest}: there is no such file or folder")
    with Ledger(output / "ledger.sqlite") as ledger:
        rows, repeats = ledger.begin_plan(read_rows(manifest, instruction, asked))
        if not rows:
            what = "pictures in this folder" if manifest.is_dir() else "rows in this manifest"
            raise InputError(f"{manifest}: there are no {what}")
        reconcile(ledger, output, retry or force)
        before = ledger.counts()
        if before.get("pending") and not plan_only:
            options = {"allow_hosts": allow_host or (), "force": force}
            make_rows(ledger, output, places, address, as_json, **options)
        if not plan_only:
            write_results(ledger, output)
            if contact:
                write_contact(ledger, output, contact)
        value, text = summary(ledger, before.get("done", 0), plan_only)
    value |= {"rows": rows, "repeats": repeats, "folder": str(output)}
    report(as_json, value, f"{text}\n{output}")
    if value["states"].get("failed"):
        raise typer.Exit(1)


def make_rows(
    ledger: Ledger, output: Path, places: Places, address: Address, quiet: bool, **options: Any
) -> None:
    """Make what the ledger says is missing, with progress on the terminal.

    options  of `Batch`
    """
    from .batch import Batch
    from .progress import View

    with ExitStack() as stack:
        view = stack.enter_context(View(quiet))
        rows = sum(ledger.counts().values())
        line = view.line(f"{rows} rows", "" if places.servers else "starting ComfyUI")
        where = places.open(stack, address, output / "comfyui.log")
        report = view.counter(line)
        work = Batch(ledger, output, where, per_server=places.per_server, report=report, **options)
        finish(work.run(), lambda: so_far(ledger))


def so_far(ledger: Ledger) -> str:
    """How much of a batch that ends early is done."""
    counts = ledger.counts()
    failed = f", {counts['failed']} failed" if counts.get("failed") else ""
    total = sum(counts.values())
    return (
        f"{counts.get('done', 0)} of {total} rows are done{failed}; the same command goes on there."
    )


def summary(ledger: Ledger, done_before: int, plan_only: bool) -> tuple[dict[str, Any], str]:
    """What became of the rows, for a script and for a person.

    done_before  how many were done before this run
    """
    counts = ledger.counts()
    now = counts.get("done", 0) - done_before
    states = [f"{many} {state}" for state, many in sorted(counts.items())]
    if now and done_before:
        states.append(f"{now} of them now")
    text = ", ".join(states)
    if not now and set(counts) == {"done"} and not plan_only:
        text = f"Nothing to do: {text} before"
    lines = [text, *(f"row {e.number}: {e.error}" for e in islice(ledger.entries("failed"), SHOWN))]
    noted = (entry for entry in ledger.entries("done") if entry.notes)
    lines += [f"row {entry.number}, note: {entry.notes}" for entry in islice(noted, SHOWN)]
    return {"states": counts, "now": now}, "\n".join(lines)
