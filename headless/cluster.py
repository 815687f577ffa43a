"""Rows on the machines of a Ray cluster: a worker holds a ComfyUI, the ledger stays with us.

A worker is given the row's pictures and gives back the result, so the machines share no folder.
When one dies its rows are pending again and go to the others, and Ray starts it anew where there is
room. This package must be installed on every machine of the cluster; Ray is its extra `cluster`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from .batch import Endpoint
from .client import Client
from .errors import InputError, OutputError, ServerUnavailable
from .files import read_picture, write_whole

START = 600.0  # seconds for the cluster to find room for a worker, and for its ComfyUI to start
STOP = 10.0
RESTARTS = 3

Picture = tuple[str, bytes]  # a file's suffix, and what it holds


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
    ) -> bytes:
        """The picture that `Client.edit` saves under this name."""
        if self._client is None:  # Ray has started this worker anew
            await self.ready()
        assert self._client
        with tempfile.TemporaryDirectory(prefix="ip2p-") as folder:
            output = Path(folder, name)
            paths = [Path(folder, f"{n}{file[0]}") for n, file in enumerate((image, mask)) if file]
            try:
                for path, (_, data) in zip(paths, filter(None, (image, mask)), strict=True):
                    path.write_bytes(data)
            except OSError as error:
                raise OutputError(f"cannot write on a worker: {error.strerror}") from None
            await self._client.edit(
                paths[0], instruction, output, mask=paths[1] if mask else None, **options
            )
            return output.read_bytes()

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
        image: Path,
        instruction: str,
        output: Path,
        *,
        mask: Path | None = None,
        **options: Any,
    ) -> None:
        """As `Client.edit`, by the worker."""
        files = [(path.suffix, read_picture(path)) if path else None for path in (image, mask)]
        job = self._worker.edit.remote(files[0], instruction, output.name, files[1], **options)
        data = await self._answer(job)
        with write_whole(output) as file:
            file.write(data)

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
    address: str, urls: Sequence[str], gpus_per_worker: float, options: dict[str, Any]
) -> Iterator[list[RayPlace]]:
    """Workers on a Ray cluster, to be started by `Batch`.

    address          "local" for a cluster on this machine that ends with us, "auto" for the one
                     that this machine is part of, or HOST:PORT
    urls             a worker for each of these servers; without any, one with a ComfyUI of its own
                     for each share of a GPU, or for each machine of a cluster without GPUs
    gpus_per_worker  the share: 1, or less where several fit in one GPU
    options          arguments of `Client`

    Raises InputError where Ray is not installed, ServerUnavailable where there is no such cluster.
    """
    if gpus_per_worker <= 0:
        raise InputError(f"GPUs per worker {gpus_per_worker}: expected a number above 0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a batch reports to nobody
    try:
        import ray
    except ImportError:
        raise InputError(
            "a Ray cluster needs Ray: pip install 'instruct-pix2pix[cluster]'"
        ) from None
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
        raise ServerUnavailable(f"no Ray cluster at {address!r}: {error}") from None
    try:
        if urls:
            yield [RayPlace(url, url, 0, options) for url in urls]
            return
        share = int(ray.cluster_resources().get("GPU", 0) / gpus_per_worker)
        machines = sum(node["Alive"] for node in ray.nodes())
        yield [
            RayPlace(f"ray worker {n}", None, gpus_per_worker if share else 0, options)
            for n in range(1, (share or machines) + 1)
        ]
    finally:
        ray.shutdown()
