"""Runs prompts in the queue of one ComfyUI server, whatever happens to the connection.

The socket tells of progress; `/history` alone decides what became of a job. So a lost socket, a
cached run without events, or a restarted server cost time and nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from .errors import (
    AccessDenied,
    IP2PError,
    JobLost,
    JobTimeout,
    ServerUnavailable,
    WorkflowRefused,
)
from .messages import Event, Preview, Prompt
from .outcome import Result, outputs_of, texts_of
from .protocol import Server

logger = logging.getLogger(__name__)

POLL = 2.0  # seconds between two looks at /history while the socket is silent
SUBMISSIONS = 5  # how often a job that the server has lost is queued again

Listener = Callable[[Event | Preview], None]
Queue = TypeVar("Queue", bound="Jobs")


@dataclass
class _Job:
    prompt_id: str
    listener: Listener | None
    news: asyncio.Event = field(default_factory=asyncio.Event)
    doubtful: bool = False  # whether the server may have lost it


class Jobs:
    """The queue of one ComfyUI server, as an async context manager.

    url         its address; TLS and a path prefix are fine
    headers     sent with every request, such as {"Authorization": "Bearer ..."}
    verify      True, False to accept any TLS certificate, or the path of a CA file
    max_queued  jobs that we have in the server's queue at a time; the others wait here, where
                cancelling them costs nothing
    patience    seconds that the server may be away before ServerUnavailable is raised
    timeout     seconds that one job may take from being queued; None for no limit
    """

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        verify: bool | str = True,
        max_queued: int = 2,
        patience: float = 30.0,
        timeout: float | None = None,
    ) -> None:
        self.server = Server(url, headers=headers, verify=verify)
        self.client_id = str(uuid.uuid4())
        self.patience = patience
        self.timeout = timeout
        self._slots = asyncio.Semaphore(max_queued)
        self._jobs: dict[str, _Job] = {}
        self._running: str | None = None
        self._connected = asyncio.Event()
        self._tried = asyncio.Event()  # a first time to connect, with whatever success

    async def __aenter__(self: Queue) -> Queue:
        await self.server.__aenter__()
        self._listener = asyncio.create_task(self._listen())
        return self

    async def __aexit__(self, *exception: object) -> None:
        self._listener.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._listener
        await self.server.__aexit__(*exception)

    async def run(
        self,
        prompt: Prompt,
        *,
        listener: Listener | None = None,
        prompt_id: str | None = None,
        resume: bool = False,
        workflow: dict[str, Any] | None = None,
    ) -> Result:
        """Queue a prompt in the API format and wait for its end.

        listener   called with each Event and Preview of this job
        prompt_id  the UUID of the job; a new one by default
        resume     the server may have that job already, as after a crash of this client: then it is
                   not queued a second time
        workflow   the editor's graph, kept in the pictures' metadata beside the prompt

        Raises WorkflowRefused, ExecutionFailed, Interrupted, JobTimeout, ServerUnavailable,
        AccessDenied or ServerMisbehaved. Cancelling the task takes the job off the server.
        """
        async with self._slots:
            job = _Job(prompt_id or str(uuid.uuid4()), listener)
            extra = {"extra_pnginfo": {"workflow": workflow}} if workflow else None
            started = time.monotonic()
            self._jobs[job.prompt_id] = job
            try:
                entry = await asyncio.wait_for(
                    self._carry_through(job, prompt, extra, resume),
                    self.timeout,
                )
            except asyncio.TimeoutError:
                await self._drop(job.prompt_id)
                raise JobTimeout(f"not finished after {self.timeout:.0f} s; cancelled") from None
            except (asyncio.CancelledError, WorkflowRefused):
                # Also a prompt that is refused can be queued in part.
                await asyncio.shield(self._drop(job.prompt_id))
                raise
            finally:
                del self._jobs[job.prompt_id]
            seconds = time.monotonic() - started
            texts = texts_of(prompt, entry)
            return Result(job.prompt_id, outputs_of(prompt, entry), seconds, texts=texts)

    async def ready(self) -> dict[str, Any]:
        """Wait until the server answers; its system_stats. The socket is open if it can be."""
        stats = await self._patiently(self.server.system_stats)
        with contextlib.suppress(asyncio.TimeoutError):
            # A proxy may refuse sockets, or be silent: then /history is all we have.
            await asyncio.wait_for(self._tried.wait(), 5)
        return stats

    async def _carry_through(
        self, job: _Job, prompt: Prompt, extra: dict[str, Any] | None, resume: bool
    ) -> dict[str, Any]:
        """Queue a job, again where the server loses it, until the history has its entry."""
        for attempt in range(SUBMISSIONS):
            if resume and await self._known(job.prompt_id):
                job.news.set()  # it may have ended long ago
            else:
                await self._submit(prompt, job.prompt_id, extra)
            try:
                return await self._finished(job)
            except JobLost:
                if attempt + 1 == SUBMISSIONS:
                    raise
        raise AssertionError("unreachable")

    async def _submit(self, prompt: Prompt, prompt_id: str, extra: dict[str, Any] | None) -> None:
        if not self._connected.is_set():
            await self.ready()
        deadline = time.monotonic() + self.patience
        while True:
            try:
                return await self.server.post_prompt(prompt, prompt_id, self.client_id, extra)
            except ServerUnavailable:
                # It may have been queued before the connection broke; never queue it twice.
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.5)
                if await self._known(prompt_id):
                    return

    async def _known(self, prompt_id: str) -> bool:
        # The queue first: a job that leaves it between the two looks is in the history.
        return bool(
            await self._patiently(lambda: self.server.queued(prompt_id))
            or await self._patiently(lambda: self.server.history(prompt_id))
        )

    async def _finished(self, job: _Job) -> dict[str, Any]:
        """The history's entry of a job, once there is one; JobLost if the server forgot it."""
        while True:
            try:
                await asyncio.wait_for(job.news.wait(), POLL)
            except asyncio.TimeoutError:
                job.doubtful = True  # nothing heard of it for a while
            job.news.clear()
            entry = await self._patiently(lambda: self.server.history(job.prompt_id))
            if entry is None and job.doubtful:
                job.doubtful = False
                if not await self._known(job.prompt_id):
                    raise JobLost(f"{self.server.url} no longer knows the job; was it restarted?")
                entry = await self._patiently(lambda: self.server.history(job.prompt_id))
            if entry is not None:
                return entry

    async def _drop(self, prompt_id: str) -> None:
        with contextlib.suppress(IP2PError):
            await self.server.cancel(prompt_id)

    async def _patiently(self, call: Callable[[], Any]) -> Any:
        """Call until the server answers, for at most `patience` seconds."""
        deadline = time.monotonic() + self.patience
        delay = 0.25
        while True:
            try:
                return await call()
            except ServerUnavailable:
                if time.monotonic() + delay > deadline:
                    raise
                await asyncio.sleep(delay)
                delay = min(2 * delay, 5.0)

    async def _listen(self) -> None:
        """Keep a socket open and hand its messages to the jobs."""
        delay = 0.25
        while True:
            try:
                async with self.server.socket(self.client_id) as messages:
                    self._connected.set()
                    self._tried.set()
                    delay = 0.25
                    async for message in messages:
                        self._hear(message)
            except AccessDenied:
                return  # plain requests will meet the same refusal, and raise it
            except IP2PError:
                pass
            self._connected.clear()
            self._tried.set()
            for job in self._jobs.values():
                job.doubtful = True
                job.news.set()
            await asyncio.sleep(delay)
            delay = min(2 * delay, 5.0)

    def _hear(self, message: Event | Preview) -> None:
        if isinstance(message, Event) and message.type in ("execution_start", "executing"):
            self._running = message.prompt_id
        job = self._jobs.get(message.prompt_id or self._running or "")
        if job is None:
            return
        if job.listener:
            try:
                job.listener(message)
            except Exception:  # must not end the task that serves every job
                logger.exception("a progress listener failed")
        if isinstance(message, Event):
            job.doubtful = False
            if message.type == "executing" and message.data.get("node") is None:
                job.news.set()  # the last word on a job: by now the history has it
