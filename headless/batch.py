"""Runs the rows of a ledger on one or several servers until every row is done or has failed.

A row is done once its file is whole on the disk. Whatever dies in between (a server, this process,
the disk's free space), the next run takes up what is there and repeats nothing that is done.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import os
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

from .choice import Choice, word_notes
from .client import Client
from .errors import (
    AccessDenied,
    ComfyUINotFound,
    ExecutionFailed,
    InputError,
    IP2PError,
    JobTimeout,
    NodesMissing,
    OutputError,
    ServerUnavailable,
    WorkflowRefused,
)
from .fetch import fetched
from .keys import edit_key, key_in
from .ledger import Entry, Ledger
from .manifest import is_url
from .names import refuse_existing
from .outcome import Result
from .picture import Picture, Role, read_picture
from .server import PrivateServer
from .workflow import edit_of

logger = logging.getLogger(__name__)

MOST_LACKING = 10  # things that a server lacks, named before a batch is refused
ATTEMPTS = 5  # how often a row is tried when its server dies or answers nonsense
FATAL = (NodesMissing, AccessDenied, OutputError, ComfyUINotFound)  # would fail every row
FINAL = (InputError, WorkflowRefused, ExecutionFailed, JobTimeout)  # the row's own fault

Report = Callable[[dict[str, int], float], None]


class Editor(Protocol):
    """What makes one picture: a `Client`, or something that reaches one."""

    async def edit(
        self, image: Picture, instruction: str, output: Path, **options: Any
    ) -> Result: ...

    async def checkpoint(self, name: str | None = None) -> Choice: ...

    async def check(self, settings: Mapping[str, Any], **parameters: Any) -> None: ...


class Place(Protocol):
    """Where rows can go to, under a name that is kept in the ledger."""

    url: str

    def editor(self) -> AbstractAsyncContextManager[Editor]: ...

    async def revive(self) -> None:
        """Return once rows can go there again. Raises ServerUnavailable where they cannot."""


class Endpoint:
    """One server for rows: a running one, by its address, or a private one that we restart."""

    def __init__(
        self,
        url: str | None,
        options: dict[str, Any],
        log: Path | None = None,
        arguments: Sequence[str] = (),
    ) -> None:
        self.private = PrivateServer(arguments=arguments, log=log) if url is None else None
        self.url = self.private.url if self.private else str(url)
        own: dict[str, Any] = {}
        if self.private:
            # Whether it lives is known, so there is no reason to be patient with its silence.
            own = {"scratch": self.private.scratch, "patience": 3.0}
        self.client = Client(self.url, **{**options, **own})
        self._reviving = asyncio.Lock()

    @asynccontextmanager
    async def editor(self) -> AsyncIterator[Client]:
        try:
            if self.private:
                await self.private.start()
            async with self.client as client:
                await client.ready()
                yield client
        finally:
            if self.private:
                self.private.stop()

    async def revive(self) -> None:
        async with self._reviving:
            if self.private and not self.private.alive:
                logger.warning("ComfyUI died; starting it again")
                await self.private.start()
        await self.client.ready()


class Batch:
    """The run of one plan.

    force   write over files of the output folder that are not results of this ledger
    report  called with the counts by state and the seconds since the start, now and then
    """

    def __init__(
        self,
        ledger: Ledger,
        folder: Path,
        places: Sequence[Place],
        *,
        per_server: int = 2,
        allow_hosts: Sequence[str] = (),
        force: bool = False,
        report: Report | None = None,
    ) -> None:
        self.ledger, self.folder, self.places = ledger, folder, places
        self.per_server, self.allow_hosts, self.force = per_server, frozenset(allow_hosts), force
        self._report, self._started, self._reported = report, time.monotonic(), 0.0
        self._counts: dict[str, int] = {}
        self._active = 0
        self._through = asyncio.Event()
        self._choosing = asyncio.Lock()

    async def run(self) -> dict[str, int]:
        """Work until nothing is pending; how many rows are in each state then.

        Raises what stops every row alike: OutputError, NodesMissing, AccessDenied, or, when no
        server is left, why: ServerUnavailable, or InputError where each lacks what a row asks for.
        The rows wait in the ledger then.
        """
        self._counts = self.ledger.counts()
        tasks = [asyncio.create_task(self._serve(place)) for place in self.places]
        served = asyncio.gather(*tasks)
        # A server that is slow to start, or to come back, delays nothing when all is done.
        through = asyncio.create_task(self._through.wait())
        try:
            await asyncio.wait((served, through), return_when=asyncio.FIRST_COMPLETED)
            gone = [error for error in served.result() if error] if served.done() else []
        finally:
            await end(served, through, *tasks)
        counts = self.ledger.counts()
        if counts.get("pending") and gone:
            raise gone[0]
        return counts

    async def _serve(self, place: Place) -> ServerUnavailable | InputError | None:
        """Keep one server busy; returns why it is not used to the end, if so."""
        try:
            async with place.editor() as editor:
                if lacking := await self._lacking(editor):
                    if len(self.places) > 1:
                        logger.warning("%s is not used: %s", place.url, lacking)
                    return lacking
                workers = [
                    asyncio.create_task(self._work(place, editor)) for _ in range(self.per_server)
                ]
                try:
                    await asyncio.gather(*workers)
                finally:
                    await end(*workers)
        except ServerUnavailable as error:
            logger.warning("%s is not used any more: %s", place.url, error)
            return error
        return None

    async def _lacking(self, editor: Editor) -> InputError | None:
        """What the rows ask for and this server lacks, found before any row is queued."""
        found = []
        for number, many, parameters, settings in self.ledger.asked():
            try:
                await editor.check(settings, **parameters)
            except InputError as error:
                more = f" and {many - 1} more" if many > 1 else ""
                found.append(f"row {number}{more}: {error}")
            if len(found) == MOST_LACKING:
                break
        return InputError("\n".join(found)) if found else None

    async def _work(self, place: Place, editor: Editor) -> None:
        while True:
            entry = self.ledger.next_pending()
            if entry is None:
                if not self._active:
                    self._through.set()
                    return
                await asyncio.sleep(0.1)  # a row may come back from a server that dies
                continue
            self._active += 1
            try:
                alive = await self._do(entry, place, editor)
            finally:
                self._active -= 1
            self._tell()
            if not alive:
                await place.revive()

    async def _do(self, entry: Entry, place: Place, editor: Editor) -> bool:
        """Try one row; whether the server stayed reachable."""
        # On the same server the job of a run that was killed may be waiting, or finished.
        resume = entry.prompt_id is not None and entry.server == place.url
        prompt_id = entry.prompt_id if resume else str(uuid.uuid4())
        self._move(entry, "running", prompt_id=prompt_id, server=place.url)
        started = time.monotonic()
        try:
            image, mask = await self._inputs(entry)
            parameters = {**entry.parameters, "checkpoint": await self._checkpoint(entry, editor)}
            key, stamp = row_key(entry, parameters, image, mask), stamp_of(entry)
            self.ledger.update(entry.n, key=key)
            target, texts = self._target(entry), entry.texts
            if self._is_free(entry, target, key):
                self.ledger.writes(entry.output)
                made = await editor.edit(
                    image,
                    entry.instruction,
                    target,
                    mask=mask,
                    settings=entry.settings,
                    prompt_id=prompt_id,
                    resume=resume,
                    **parameters,
                )
                texts = dict(made.texts)
            size, seconds = target.stat().st_size, time.monotonic() - started
            told = (str(parameters.get(name, "")) for name in ("negative", "value", "subject"))
            words = word_notes(parameters["checkpoint"], entry.instruction, *told)
            notes = "; ".join(image.notes + (mask.notes if mask else ()) + words)
            found = {"key": key, "stamp": stamp, "size": size, "seconds": seconds, "notes": notes}
            self.ledger.complete(entry.n, texts, **found)
            self._count("running", "done")
        except FINAL as error:
            if isinstance(error, FATAL):
                self._back(entry)
                raise
            self._move(entry, "failed", "running", error=str(error), final=1, stamp=stamp_of(entry))
        except FATAL:
            self._back(entry)
            raise
        except IP2PError as error:
            attempts = entry.attempts + 1
            state = "pending" if error.transient and attempts < ATTEMPTS else "failed"
            self._move(entry, state, "running", attempts=attempts, error=str(error), final=0)
            return not isinstance(error, ServerUnavailable)
        except asyncio.CancelledError:
            self._back(entry)
            raise
        return True

    def _target(self, entry: Entry) -> Path:
        """Where the result goes. A link that leads out of the output folder is refused."""
        target = self.folder / entry.output
        if not target.parent.resolve().is_relative_to(self.folder.resolve()):
            raise InputError(f"output: {entry.output!r} leads out of {self.folder} through a link")
        return target

    async def _checkpoint(self, entry: Entry, editor: Editor) -> str:
        """The row's checkpoint. What is chosen for rows that name none stays so in this ledger."""
        given = entry.parameters.get("checkpoint")
        async with self._choosing:
            known = checkpoint_of(self.ledger, given)
            if known is None:
                choice = await editor.checkpoint(given)
                known = choice.name
                self.ledger.meta(f"checkpoint {given or ''}", known)
                if choice.note:
                    logger.warning("note: %s", choice.note)
        return known

    def _is_free(self, entry: Entry, target: Path, key: str) -> bool:
        """Whether the result is to be made: not where a lost ledger's file is this very result.

        Raises InputError for a file that is not of this batch.
        """
        if self.force or self.ledger.wrote(entry.output) or not os.path.lexists(target):
            return True
        if key_in(target) == key:
            return False
        refuse_existing([target])
        return True

    async def _inputs(self, entry: Entry) -> tuple[Picture, Picture | None]:
        """The row's picture and mask, read once."""

        async def read(place: str, role: Role) -> Picture:
            if not is_url(place):
                return await asyncio.to_thread(read_picture, Path(place), role)
            async with fetched(place, self.allow_hosts) as file:
                return await asyncio.to_thread(read_picture, file, role, place)

        image = await read(entry.image, "source")
        return image, await read(entry.mask, "mask") if entry.mask else None

    def _back(self, entry: Entry) -> None:
        """Leave a row for the next run, also where the ledger cannot be written any more."""
        with contextlib.suppress(OutputError):
            # Its job was taken off the server, so the next run needs another.
            self._move(entry, "pending", "running", prompt_id=None)

    def _move(self, entry: Entry, state: str, before: str = "pending", **values: Any) -> None:
        self.ledger.update(entry.n, state=state, **values)
        self._count(before, state)

    def _count(self, before: str, after: str) -> None:
        self._counts[before] = self._counts.get(before, 0) - 1
        self._counts[after] = self._counts.get(after, 0) + 1

    def _tell(self) -> None:
        now = time.monotonic()
        if self._report and now - self._reported > 0.2:
            self._reported = now
            self._report(self._counts, now - self._started)


async def end(*tasks: asyncio.Future[Any]) -> None:
    """Cancel tasks and wait until each has cleaned up."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def reconcile(ledger: Ledger, folder: Path, retry: bool = False) -> None:
    """Set every row of the plan to what is true on the disk now, before a run.

    done     stays so while its file is whole and its inputs have the content that it was made from
    running  (of a run that was killed) is done if its file was written, else it is pending
    failed   is tried again if it may succeed: the cause was the server, the inputs have changed, or
             `retry` is set
    """
    again: dict[str, Any] = {"state": "pending", "attempts": 0, "prompt_id": None, "key": None}
    graph = hashlib.sha256(json.dumps(edit_of("", "x"), sort_keys=True).encode()).hexdigest()
    same_graph = ledger.meta("graph") == graph
    for entry in ledger.entries("done", "running", "failed"):
        path, stamp = folder / entry.output, stamp_of(entry)
        if entry.state == "failed":
            if entry.output and (retry or not entry.final or stamp != entry.stamp):
                ledger.update(entry.n, **again)
        elif entry.state == "done":
            if not path.is_file() or path.stat().st_size != entry.size:
                ledger.update(entry.n, **again)
            elif stamp != entry.stamp or not same_graph:
                if key_now(ledger, entry) == entry.key:
                    ledger.update(entry.n, stamp=stamp)
                else:
                    ledger.update(entry.n, **again)
        elif entry.key and key_in(path) == entry.key:
            ledger.complete(entry.n, entry.texts, stamp=stamp, size=path.stat().st_size)
        else:
            ledger.update(entry.n, state="pending")
    ledger.meta("graph", graph)


def stamp_of(entry: Entry) -> str:
    """Size and time of a row's input files: while it stays, so does their content."""
    parts = []
    for place in (entry.image, entry.mask):
        if place and not is_url(place):
            with contextlib.suppress(OSError):
                found = Path(place).stat()
                parts.append(f"{found.st_size}:{found.st_mtime_ns}")
    return " ".join(parts)


def checkpoint_of(ledger: Ledger, given: str | None) -> str | None:
    """Which checkpoint a ledger has taken for a name, or for rows without one (None)."""
    return ledger.meta(f"checkpoint {given or ''}")


def row_key(entry: Entry, parameters: dict[str, Any], image: Picture, mask: Picture | None) -> str:
    """The hash of all that a row's result depends on."""
    return edit_key(image, mask, entry.instruction, parameters, entry.settings)


def key_now(ledger: Ledger, entry: Entry) -> str | None:
    if is_url(entry.image) or is_url(entry.mask):
        return entry.key  # not fetched again to find out
    try:
        mask = read_picture(Path(entry.mask), "mask") if entry.mask else None
        chosen = checkpoint_of(ledger, entry.parameters.get("checkpoint"))
        parameters = {**entry.parameters, **({"checkpoint": chosen} if chosen else {})}
        return row_key(entry, parameters, read_picture(Path(entry.image)), mask)
    except InputError:
        return None
