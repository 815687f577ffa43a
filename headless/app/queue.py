"""The order of the jobs: sessions take turns, however much one of them has queued."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque

from ..batch import Endpoint
from ..client import Client
from ..errors import ExecutionFailed, IP2PError, ServerUnavailable
from ..messages import Event, Preview
from .session import DONE, FAILED, RUNNING, WAITING, Job, Session
from .work import make

logger = logging.getLogger(__name__)

GONE = "ComfyUI went away during this edit; press Again when it is back"
PAUSE = 2.0  # seconds between two looks at a ComfyUI that is away
# The control that a failure concerns, by the title of the node that failed.
CONTROLS = {"Model": "checkpoint", "Source": "upload", "Instruction": "instruction"}


class Queue:
    """The jobs of all sessions, on one or several ComfyUIs.

    clients  of the ComfyUIs that have answered, the first one first
    """

    def __init__(self) -> None:
        self._order: deque[Session] = deque()
        self._news = asyncio.Condition()
        self.clients: list[Client] = []
        self.started = asyncio.Event()  # a first ComfyUI is there

    async def add(self, session: Session, jobs: list[Job]) -> None:
        session.jobs += jobs
        if session not in self._order:
            self._order.append(session)
        async with self._news:
            self._news.notify_all()
        self.tell_all()

    def remove(self, session: Session) -> None:
        with contextlib.suppress(ValueError):
            self._order.remove(session)

    def positions(self) -> dict[str, int]:
        """How many jobs go before each waiting one, those that run included."""
        running = sum(job.state == RUNNING for s in self._order for job in s.jobs)
        lines = [deque(j for j in s.jobs if j.state == WAITING) for s in self._order]
        ahead: dict[str, int] = {}
        while any(lines):
            for line in lines:
                if line:
                    ahead[line.popleft().id] = running + len(ahead)
        return ahead

    def tell_all(self) -> None:
        for session in self._order:
            session.tell()

    async def _next(self) -> tuple[Session, Job]:
        async with self._news:
            while True:
                for _ in range(len(self._order)):
                    session = self._order[0]
                    self._order.rotate(-1)  # so that everybody else comes before them again
                    job = next((j for j in session.jobs if j.state == WAITING), None)
                    if job:
                        job.state = RUNNING
                        return session, job
                await self._news.wait()

    async def serve(self, endpoint: Endpoint, alone: bool = True) -> None:
        """Do the jobs on one ComfyUI, until cancelled.

        alone  it is the only one: raise IP2PError where it does not answer at first
        """
        while True:
            try:
                async with endpoint.editor() as client:
                    self.clients.append(client)
                    self.started.set()
                    await self._work(endpoint, client)
            except IP2PError as error:
                if alone or not isinstance(error, ServerUnavailable):
                    raise
                logger.warning("%s", error)
                await asyncio.sleep(PAUSE)

    async def _work(self, endpoint: Endpoint, client: Client) -> None:
        while True:
            session, job = await self._next()
            self.tell_all()
            job.server = endpoint.url
            job.task = asyncio.create_task(self._do(client, session, job))
            gone = False
            try:
                await asyncio.shield(job.task)
            except asyncio.CancelledError:
                if not job.task.cancelled():  # it is the page that ends, not the edit
                    job.task.cancel()
                    raise
            except ServerUnavailable:
                gone = True
            job.task = None
            self.tell_all()
            while gone:
                try:
                    await endpoint.revive()
                    gone = False
                except ServerUnavailable as error:
                    logger.warning("%s", error)
                    await asyncio.sleep(PAUSE)

    async def _do(self, client: Client, session: Session, job: Job) -> None:
        def hear(message: Event | Preview) -> None:
            if isinstance(message, Preview):
                session.tell("preview", {"job": job.id, "image": message.image})
            elif message.type == "progress":
                value, most = message.data.get("value"), message.data.get("max")
                if isinstance(value, int) and isinstance(most, int) and most > 1:
                    job.step, job.steps = value, most
                    session.tell("step", {"job": job.id, "step": value, "steps": most})

        try:
            await make(client, session, job, hear)
            job.state = DONE
        except ServerUnavailable:
            job.state, job.message = FAILED, GONE
            raise
        except IP2PError as error:
            job.state, job.message = FAILED, str(error)
            if job.threshold is not None:
                job.where = "mask"
            elif isinstance(error, ExecutionFailed):
                job.where = CONTROLS.get(error.node, "")
        except Exception:
            # Its files are gone as its session ended, the disk is full, or we are wrong: the queue
            # goes on for everybody else.
            logger.exception("an edit could not be kept")
            job.state, job.message = FAILED, "the result could not be kept; the page's log says why"
