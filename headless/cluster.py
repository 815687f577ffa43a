"""Rows on the machines of a Ray cluster: a worker holds a ComfyUI, the ledger stays with us.

A worker is given the row's pictures and gives back the result, so the machines share no folder.
When one dies its rows are pending again and go to the others, and Ray starts it anew where there is
room. This package must be installed on every machine of the cluster; Ray is its extra `cluster`.

The rows are handed out by `Batch`, one at a time, as without Ray. Ray Data would hand them out in
blocks, and make a whole block again when a worker is lost: edits that were done would be repeated.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from .batch import Endpoint
from .choice import Choice
from .client import Client
from .errors import InputError, ServerUnavailable
from .files import write_whole
from .outcome import Result
from .picture import Picture

START = 600.0  # seconds for the cluster to find room for a worker, and for its ComfyUI to start
STOP = 10.0
RESTARTS = 3


class Worker:
    """What lives on the cluster, as a Ray actor: a ComfyUI of its own, or the one at `url`."""

    def __init__(self, url: str | None, options: dict[str, Any]) -> None:
        self._url, self._options = url, options
        self._endpoint: Endpoint | None = None
        self._client: Client | None = None
        self._open = AsyncExitStack()
        self._starting = asyncio.Lock()

    async def ready(self) -> None:
        """Start what does not run. Raises as `Endpoint` does."""
        async with self._starting:
            if self._endpoint and self._client:
                await self._endpoint.revive()
            else:
                self._endpoint = Endpoint(self._url, self._options)
                self._client = await self._open.enter_async_context(self._endpoint.editor())

    async def edit(
        self, image: Picture, instruction: str, name: str, mask: Picture | None, **options: Any
    ) -> tuple[bytes, Result]:
        """The picture that `Client.edit` saves under this name, and what it returns."""
        if self._client is None:  # Ray has started this worker anew
            await self.ready()
        assert self._client
        with tempfile.TemporaryDirectory(prefix="ip2p-") as folder:
            output = Path(folder, name)
            result = await self._client.edit(image, instruction, output, mask=mask, **options)
            return output.read_bytes(), result

    async def checkpoint(self, name: str | None) -> Choice:
        if self._client is None:
            await self.ready()
        assert self._client
        return await self._client.checkpoint(name)

    async def check(self, settings: dict[str, Any], **parameters: Any) -> None:
        if self._client is None:
            await self.ready()
        assert self._client
        await self._client.check(settings, **parameters)

    async def stop(self) -> None:
        await self._open.aclose()


class RayPlace:
    """One worker, as `Batch` sees it."""

    def __init__(self, name: str, url: str | None, gpus: float, options: dict[str, Any]) -> None:
        self.url = name
        self._arguments = (url, options)
        self._gpus = gpus

    @asynccontextmanager
    async def editor(self) -> AsyncIterator[RayPlace]:
        import ray

        placed = ray.remote(Worker).options(
            num_cpus=0, num_gpus=self._gpus, max_restarts=RESTARTS, scheduling_strategy="SPREAD"
        )
        self._worker = placed.remote(*self._arguments)
        try:
            await self.revive()
            yield self
        finally:
            # What it started ends with it in any case; this way its jobs leave the server's queue.
            with contextlib.suppress(ServerUnavailable):
                await self._answer(self._worker.stop.remote(), STOP)
            ray.kill(self._worker)

    async def revive(self) -> None:
        from ray.exceptions import ActorUnavailableError

        deadline = time.monotonic() + START
        while True:
            try:
                return await self._answer(self._worker.ready.remote(), START)
            except ServerUnavailable as error:
                # Ray says so at once while it starts a worker anew.
                again = isinstance(error.__context__, ActorUnavailableError)
                if not again or time.monotonic() > deadline:
                    raise
            await asyncio.sleep(0.5)

    async def edit(
        self,
        image: Picture,
        instruction: str,
        output: Path,
        *,
        mask: Picture | None = None,
        **options: Any,
    ) -> Result:
        """As `Client.edit`, by the worker."""
        job = self._worker.edit.remote(image, instruction, output.name, mask, **options)
        result: Result
        data, result = await self._answer(job)
        with write_whole(output) as file:
            file.write(data)
        return result

    async def checkpoint(self, name: str | None = None) -> Choice:
        """As `Client.checkpoint`, by the worker."""
        found: Choice = await self._answer(self._worker.checkpoint.remote(name))
        return found

    async def check(self, settings: Mapping[str, Any], **parameters: Any) -> None:
        """As `Client.check`, by the worker."""
        await self._answer(self._worker.check.remote(settings, **parameters))

    async def _answer(self, job: Awaitable[Any], seconds: float | None = None) -> Any:
        """What the worker returns or raises; ServerUnavailable if the worker is lost."""
        import ray
        from ray.exceptions import RayError, RayTaskError

        try:
            return await asyncio.wait_for(job, seconds)
        except asyncio.TimeoutError:
            message = f"{self.url}: nothing within {seconds:.0f} s; is there room on the cluster?"
            raise ServerUnavailable(message) from None
        except asyncio.CancelledError:
            ray.cancel(job)
            raise
        except RayTaskError as error:
            raise error.cause from None
        except RayError as error:
            why = str(error).strip().partition("\n")[0]
            raise ServerUnavailable(f"{self.url}: its worker was lost ({why})") from None


@contextlib.contextmanager
def ray_places(
    address: str,
    urls: Sequence[str],
    options: dict[str, Any],
    gpus_per_worker: float | None = None,
    workers: int | None = None,
) -> Iterator[list[RayPlace]]:
    """Workers on a Ray cluster, to be started by `Batch`.

    address          "local" for a cluster on this machine that ends with us, "auto" for the one
                     that this machine is part of, or HOST:PORT
    urls             a worker for each of these servers; without any, each has a ComfyUI of its own
    options          arguments of `Client`
    gpus_per_worker  what such a worker takes of the cluster's GPUs: 1 by default where there are
                     any, less where several fit in one
    workers          how many of them: by default as many as the GPUs have room for, or one for each
                     machine of a cluster without GPUs. More make an autoscaling cluster grow

    Raises InputError where Ray is not installed, ServerUnavailable where there is no such cluster.
    """
    share = 1.0 if gpus_per_worker is None else gpus_per_worker
    if not (0 < share <= 1 or share.is_integer() and share > 0):
        raise InputError(f"GPUs per worker {share}: expected a whole number, or a part of 1")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a batch reports to nobody
    try:
        import ray
    except ImportError:
        told = "a Ray cluster needs Ray: pip install 'instruct-pix2pix[cluster]'"
        raise InputError(told) from None
    settings: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address == "local":
        # Workers are actors that take no CPU, so that no other process need be held ready.
        settings |= {"include_dashboard": False, "num_cpus": 0}
    elif address != "auto":
        host, _, port = address.rpartition(":")
        if not host or not port.isdecimal() or "/" in host:
            raise InputError(f"Ray cluster {address!r}: expected HOST:PORT, auto or local")
        try:
            socket.create_connection((host, int(port)), 10).close()  # Ray would wait for minutes
        except (OSError, OverflowError) as error:
            raise ServerUnavailable(f"no Ray cluster at {address!r}: {error}") from None
    try:
        ray.init(address=address, **settings)
    except Exception as error:  # a bare one where a part of it does not come up
        hint = "" if address == "local" else "; if it wants a token, set RAY_AUTH_MODE=token"
        raise ServerUnavailable(f"no Ray cluster at {address!r}: {error}{hint}") from None
    try:
        if urls:
            yield [RayPlace(url, url, 0, options) for url in urls]
            return
        machines = [node["Resources"].get("GPU", 0) for node in ray.nodes() if node["Alive"]]
        room = sum(int(gpus // share if share > 1 else gpus * int(1 / share)) for gpus in machines)
        may_come = address != "local" and workers and gpus_per_worker
        if not room and not may_come:
            share = 0.0
        yield [
            RayPlace(f"ray worker {n}", None, share, options)
            for n in range(1, (workers or room or len(machines)) + 1)
        ]
    finally:
        ray.shutdown()
