"""The page's own routes. Every answer is of the session that the browser's cookie names."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import secrets
import tempfile
import time
import urllib.parse
from pathlib import Path
from typing import Any

from aiohttp import web

from ...edits.settings import BUILT_IN
from ..batch import Endpoint
from ..errors import IP2PError
from ..formats import FORMATS, PNG
from ..inputs import inputs_of
from ..messages import UPLOADS
from ..picture import Picture, Role
from ..protocol import Server
from .asked import MAX_COUNT, Refused, body_of, drawn, number_of, settings_of, worded
from .guard import COOKIE, MAX_UPLOAD, Guard, language_of
from .models import Model, models_of
from .page import EXAMPLES, PICTURES, listed, page_texts, translated
from .pictures import checked_picture, fitting, thumbnail, write_zip
from .queue import Queue
from .session import DONE, WAITING, Job, Kept, Session
from .work import settings_in

STATIC = Path(__file__).parent / "static"
MAX_SESSION = 4 << 30  # bytes of pictures that one person may have here
MAX_WAITING = 500  # edits that one person may have in the queue
IDLE = 2 * 60 * 60.0  # seconds without a page after which a session ends
STILL_HERE = 15.0  # seconds after which a silent connection is told that it lives


class App:
    """The page on one or several ComfyUIs.

    auth  "user:password" that the browser must give; None for no password
    """

    def __init__(self, endpoints: list[Endpoint], auth: str | None = None) -> None:
        self.endpoints, self.auth = endpoints, auth
        self.queue = Queue()
        self.sessions: dict[str, Session] = {}
        self.reading = asyncio.Semaphore(2)  # large pictures take much memory to read
        self.asking = endpoints[0].client
        self.offer: dict[str, Any] = {}  # what the server had when it was last asked
        self.models: dict[str, Model] = {}

    def application(self) -> web.Application:
        guard = Guard(self.auth, self.sessions)
        app = web.Application(client_max_size=MAX_UPLOAD, middlewares=[guard.middleware()])
        get, post = app.router.add_get, app.router.add_post
        get("/", self.page)
        app.router.add_static("/static", STATIC)
        get("/example/{name}", self.example_picture)
        get("/api/info", self.info)
        get("/api/state", self.state)
        get("/api/events", self.events)
        get("/api/picture/{id}", self.picture)
        get("/api/zip", self.zip)
        post("/api/upload", self.upload)
        post("/api/mask", self.mask)
        post("/api/example", self.example)
        post("/api/edit", self.edit)
        post("/api/cancel", self.cancel)
        post("/api/current", self.current)
        post("/api/editor", self.editor)
        post("/api/reset", self.reset)
        return app

    async def start(self) -> list[asyncio.Task[None]]:
        """Begin to work; returns once a ComfyUI is there. Raises IP2PError where none comes."""
        alone = len(self.endpoints) == 1
        tasks = [asyncio.create_task(self.queue.serve(one, alone)) for one in self.endpoints]
        ready = asyncio.create_task(self.queue.started.wait())
        try:
            await asyncio.wait([ready, *tasks], return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    await task  # raises what went wrong
            self.asking = self.queue.clients[0]
            await self.ask(self.asking.server)
        except BaseException:
            await self.stop([ready, *tasks])
            raise
        return [*tasks, asyncio.create_task(self._sweep())]

    async def stop(self, tasks: list[asyncio.Task[Any]]) -> None:
        running = set(tasks)
        while running:  # once more, for asyncio may lose a cancellation that meets an answer
            for task in running:
                task.cancel()
            _, running = await asyncio.wait(running, timeout=1)
        for session in self.sessions.values():
            session.close()

    async def _sweep(self) -> None:
        """End the sessions that have been idle for too long."""
        while True:
            await asyncio.sleep(60)
            for key, session in list(self.sessions.items()):
                if not session.listeners and time.monotonic() - session.seen > IDLE:
                    self.queue.remove(session)
                    session.close()
                    del self.sessions[key]

    async def page(self, request: web.Request) -> web.StreamResponse:
        answer = web.FileResponse(STATIC / "page.html", headers={"Cache-Control": "no-store"})
        if "session" not in request:
            session = Session()
            self.sessions[session.id] = session
            answer.set_cookie(COOKIE, session.id, httponly=True, samesite="Strict")
        return answer

    async def ask(self, server: Server) -> None:
        """Learn which checkpoints, samplers and schedulers a ComfyUI has."""
        first, self.models = await models_of(server)
        sampling = inputs_of(await server.object_info("IP2PKSampler"), "IP2PKSampler")
        lists = {name: list(sampling[name].choices) for name in ("sampler_name", "scheduler")}
        self.offer = {"lists": {**lists, "checkpoint": list(self.models)}, "checkpoint": first}

    async def info(self, request: web.Request) -> web.StreamResponse:
        """What the page is drawn from: texts, tiles, and what the server has."""
        language = request.query.get("language", "en")
        with contextlib.suppress(IP2PError):  # while it is away, what it had is good enough
            await self.ask(self.asking.server)
        return web.json_response(
            {
                "texts": page_texts(language),
                "settings": listed(self.offer["lists"], language),
                "checkpoint": self.offer["checkpoint"],
                "models": {name: vars(model) for name, model in self.models.items()},
                "built_in": BUILT_IN,
                "editor": self.asking.server.url.host,
                "limit": MAX_UPLOAD,
            }
        )

    async def state(self, request: web.Request) -> web.StreamResponse:
        session: Session = request["session"]
        language, shown = language_of(request), session.shown()
        for job in shown["jobs"]:
            job["message"] = translated(job["message"], language)
            job["notes"] = [translated(note, language) for note in job["notes"]]
        return web.json_response({**shown, "ahead": self.queue.positions()})

    async def events(self, request: web.Request) -> web.StreamResponse:
        """Tell an open page of what is new, as server-sent events."""
        session: Session = request["session"]
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream", **headers})
        await answer.prepare(request)
        news: asyncio.Queue[tuple[str, Any]] = asyncio.Queue(256)
        session.listeners.add(news)
        try:
            await answer.write(b"event: state\ndata: null\n\n")
            while True:
                try:
                    kind, data = await asyncio.wait_for(news.get(), STILL_HERE)
                except asyncio.TimeoutError:
                    await answer.write(b": still here\n\n")
                    continue
                if kind == "preview":
                    data = {**data, "image": base64.b64encode(data["image"]).decode()}
                await answer.write(f"event: {kind}\ndata: {json.dumps(data)}\n\n".encode())
        except ConnectionError:
            return answer
        finally:
            session.listeners.discard(news)
            session.seen = time.monotonic()

    def kept(self, request: web.Request, key: Any) -> Kept:
        """A picture of this session; 404 for that of another."""
        kept: Kept | None = request["session"].pictures.get(str(key))
        if kept is None or not kept.path.is_file():
            raise web.HTTPNotFound
        return kept

    async def picture(self, request: web.Request) -> web.StreamResponse:
        kept = self.kept(request, request.match_info["id"])
        kind = FORMATS.get(request.query.get("format", ""))
        headers = {"Cache-Control": "private, max-age=3600"}
        if "small" in request.query:
            small = await asyncio.to_thread(thumbnail, kept.path)
            return web.Response(body=small, content_type="image/jpeg", headers=headers)
        if kind is None:
            return web.FileResponse(kept.path, headers=headers)
        name = urllib.parse.quote(Path(kept.name).stem + kind.suffix)
        headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{name}"
        if kind is PNG:
            return web.FileResponse(kept.path, headers=headers)
        with tempfile.TemporaryFile() as file:
            with kept.path.open("rb") as png:
                await asyncio.to_thread(kind.encode, png, file)
            file.seek(0)
            body = file.read()
        content_type = f"image/{kind.name.lower()}"
        return web.Response(body=body, content_type=content_type, headers=headers)

    async def zip(self, request: web.Request) -> web.StreamResponse:
        session: Session = request["session"]
        made = [job for job in session.jobs if job.state == DONE and job.threshold is None]
        files = [session.pictures[str(job.result)] for job in made]
        headers = {"Content-Disposition": "attachment; filename=edits.zip"}
        answer = web.StreamResponse(headers={"Content-Type": "application/zip", **headers})
        await answer.prepare(request)
        with tempfile.TemporaryFile(dir=session.folder) as file:
            await asyncio.to_thread(write_zip, file, files)
            file.seek(0)
            while chunk := await asyncio.to_thread(file.read, 1 << 20):
                await answer.write(chunk)
        await answer.write_eof()
        return answer

    async def read(self, request: web.Request, role: Role) -> tuple[str, Picture, bytes]:
        """The name, the picture and the bytes of an uploaded file, read and checked."""
        session: Session = request["session"]
        if session.size > MAX_SESSION:
            raise Refused("upload", f"more than {MAX_SESSION >> 30} GB of pictures; start anew")
        name = Path(urllib.parse.unquote(request.headers.get("X-Name", ""))).name[:120] or "photo"
        data = await request.read()
        async with self.reading:
            picture = await asyncio.to_thread(checked_picture, data, role, name, session.folder)
        return name, picture, data

    async def upload(self, request: web.Request) -> web.StreamResponse:
        """Take a picture; a result brings its settings back."""
        session: Session = request["session"]
        name, picture, data = await self.read(request, "source")
        kept = session.upload(name, Path(picture.name).suffix, picture.data)
        notes = [translated(note, language_of(request)) for note in picture.notes]
        found = await asyncio.to_thread(settings_in, data)
        return web.json_response({"id": kept.id, "notes": notes, "settings": found})

    async def mask(self, request: web.Request) -> web.StreamResponse:
        """Take where a picture may change; an empty body for everywhere."""
        session: Session = request["session"]
        of = self.kept(request, request.query.get("of"))
        if not request.can_read_body:
            session.set_mask(of.id, None)
            return web.json_response({})
        _, picture, _ = await self.read(request, "mask")
        fitted = await asyncio.to_thread(fitting, picture.data, of.path)
        kept = session.keep("mask.png", ".png", fitted)
        session.set_mask(of.id, kept.id)
        return web.json_response({"mask": kept.id})

    async def example_picture(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        if name not in EXAMPLES:
            raise web.HTTPNotFound
        small = await asyncio.to_thread(thumbnail, PICTURES / f"ip2p-{name}.png")
        return web.Response(body=small, content_type="image/jpeg")

    async def example(self, request: web.Request) -> web.StreamResponse:
        """One of the pack's own pictures as the source, and what to say to it."""
        name = str((await body_of(request)).get("name"))
        if name not in EXAMPLES:
            raise Refused("upload", f"there is no example {name[:40]!r}")
        data = (PICTURES / f"ip2p-{name}.png").read_bytes()
        kept = request["session"].upload(f"{name}.png", ".png", data)
        return web.json_response({"id": kept.id, "instruction": EXAMPLES[name]})

    async def edit(self, request: web.Request) -> web.StreamResponse:
        """Queue edits: of one picture or of all, once or several times."""
        session: Session = request["session"]
        asked = await body_of(request)
        sources = session.uploads if asked.get("all") else [str(asked.get("source"))]
        if not sources or not all(source in session.pictures for source in sources):
            raise Refused("upload", "give a picture first")
        instruction, preset = worded(asked)
        settings = settings_of(asked, preset, self.models, self.offer["checkpoint"])
        count = int(number_of(asked.get("count", 1), "count", 1, MAX_COUNT))
        threshold = asked.get("threshold")
        if threshold is not None:
            threshold, count = number_of(threshold, "mask", 0, 1), 1
        waiting = sum(job.state == WAITING for job in session.jobs)
        if waiting + count * len(sources) > MAX_WAITING:
            raise Refused("go", f"no more than {MAX_WAITING} edits can wait; let some end first")
        if session.size > MAX_SESSION:
            raise Refused("go", f"more than {MAX_SESSION >> 30} GB of pictures; start anew")
        turn = secrets.token_hex(8)
        jobs = []
        for source in sources:
            mask = None if threshold is not None else session.masks.get(source)
            for number in range(count):
                own = drawn(settings, asked, number)
                jobs.append(Job(turn, source, instruction, own, mask, threshold))
        await self.queue.add(session, jobs)
        return web.json_response({"turn": turn})

    async def cancel(self, request: web.Request) -> web.StreamResponse:
        request["session"].cancel((await body_of(request)).get("turn"))
        self.queue.tell_all()
        return web.json_response({})

    async def current(self, request: web.Request) -> web.StreamResponse:
        """Go on from a picture: a result, an earlier turn, or the source."""
        session: Session = request["session"]
        wanted = str((await body_of(request)).get("picture"))
        if wanted not in session.pictures:
            raise Refused("", "this picture is not here any more")
        session.current = wanted
        session.tell()
        return web.json_response({})

    async def editor(self, request: web.Request) -> web.StreamResponse:
        """Put a result where ComfyUI's editor finds it; the address that opens it there."""
        session: Session = request["session"]
        kept = self.kept(request, (await body_of(request)).get("picture"))
        job = next((job for job in session.jobs if job.result == kept.id), None)
        client = next((e.client for e in self.endpoints if job and e.url == job.server), None)
        if client is None:
            raise Refused("", "this picture is not a result; only results open in the editor")
        file = await client.server.upload(kept.path.read_bytes(), f"{kept.id}.png", UPLOADS)
        name = urllib.parse.quote(f"{file.subfolder}/{file.filename}")
        return web.json_response({"url": f"{client.server.url}?ip2p={name}"})

    async def reset(self, request: web.Request) -> web.StreamResponse:
        session: Session = request["session"]
        self.queue.remove(session)
        session.clear()
        self.queue.tell_all()
        return web.json_response({})
