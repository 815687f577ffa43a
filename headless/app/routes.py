"""The page's own routes. Every answer is of the session that the browser's cookie names."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hmac
import io
import json
import random
import secrets
import tempfile
import time
import urllib.parse
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from aiohttp import web

from ...edits.presets import PRESETS
from ...edits.settings import BUILT_IN, SETTINGS
from ..batch import Endpoint
from ..choice import DRAWINGS
from ..errors import InputError, IP2PError
from ..inputs import inputs_of
from ..picture import Role, read_picture
from .page import page_texts
from .queue import Queue
from .session import DONE, Job, Session
from .work import FORMATS, in_format, sample, settings_in

HERE = Path(__file__).parent
COOKIE = "ip2p_session"
MAX_UPLOAD = 40 << 20
MAX_COUNT = 16  # edits of one picture at a time
MAX_WAITING = 64  # edits that one person may have in the queue
IDLE = 2 * 60 * 60.0  # seconds without a page after which a session ends
RANDOM = {"text_cfg": (6.0, 9.0), "image_cfg": (1.2, 1.8)}  # the ranges of the authors' page
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Refused(Exception):
    """What a person asked for cannot be done. `where` is the control that it concerns."""

    def __init__(self, where: str, message: str) -> None:
        super().__init__(message)
        self.where = where


class App:
    """The page on one or several ComfyUIs.

    auth  "user:password" that the browser must give; None for nobody
    """

    def __init__(self, endpoints: list[Endpoint], auth: str | None = None) -> None:
        self.endpoints, self.auth = endpoints, auth
        self.queue = Queue()
        self.sessions: dict[str, Session] = {}
        self.asking = endpoints[0].client

    def application(self) -> web.Application:
        app = web.Application(client_max_size=MAX_UPLOAD, middlewares=[self.guard])
        get, post = app.router.add_get, app.router.add_post
        get("/", self.page)
        get("/page.js", self.file)
        get("/page.css", self.file)
        get("/api/info", self.info)
        get("/api/state", self.state)
        get("/api/events", self.events)
        get("/api/picture/{id}", self.picture)
        get("/api/zip", self.zip)
        post("/api/upload", self.upload)
        post("/api/example", self.example)
        post("/api/edit", self.edit)
        post("/api/cancel", self.cancel)
        post("/api/current", self.current)
        post("/api/reset", self.reset)
        app.cleanup_ctx.append(self.working)
        return app

    async def working(self, app: web.Application) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(self.queue.serve(one)) for one in self.endpoints]
        tasks.append(asyncio.create_task(self._sweep()))
        yield
        running = set(tasks)
        while running:  # once more, for asyncio may lose a cancellation that meets an answer
            for task in running:
                task.cancel()
            _, running = await asyncio.wait(running, timeout=1)
        for session in self.sessions.values():
            session.close()

    async def _sweep(self) -> None:
        """End the sessions that nobody looks at any more."""
        while True:
            await asyncio.sleep(60)
            for key, session in list(self.sessions.items()):
                if not session.listeners and time.monotonic() - session.seen > IDLE:
                    self.queue.remove(session)
                    session.close()
                    del self.sessions[key]

    @web.middleware
    async def guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let in who may, give each browser its session, and put errors into sentences."""
        if self.auth and not self._known(request.headers.get("Authorization", "")):
            return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="ip2p"'})
        origin = request.headers.get("Origin")
        if (
            request.method == "POST"
            and origin
            and urllib.parse.urlsplit(origin).netloc
            not in (
                request.host,
                request.headers.get("X-Forwarded-Host", request.host),
            )
        ):
            return web.Response(status=403, text="this page takes orders from itself only")
        session = self.sessions.get(request.cookies.get(COOKIE, ""))
        fresh = session is None
        if session is None:
            session = Session()
            self.sessions[session.id] = session
        session.seen = time.monotonic()
        request["session"] = session
        try:
            answer = await handler(request)
        except Refused as error:
            answer = refusal(error.where, str(error))
        except web.HTTPRequestEntityTooLarge:
            answer = refusal("upload", f"the file is larger than {MAX_UPLOAD >> 20} MB")
        except IP2PError as error:
            answer = refusal("", str(error))
        if fresh and not answer.prepared:
            answer.set_cookie(COOKIE, session.id, httponly=True, samesite="Strict")
        return answer

    def _known(self, header: str) -> bool:
        kind, _, given = header.partition(" ")
        with contextlib.suppress(ValueError):
            text = base64.b64decode(given, validate=True)
            return kind == "Basic" and hmac.compare_digest(text, str(self.auth).encode())
        return False

    async def page(self, request: web.Request) -> web.StreamResponse:
        answer = web.FileResponse(HERE / "page.html")
        answer.headers["Cache-Control"] = "no-store"
        if request.cookies.get(COOKIE) not in self.sessions:
            answer.set_cookie(COOKIE, request["session"].id, httponly=True, samesite="Strict")
        return answer

    async def file(self, request: web.Request) -> web.StreamResponse:
        return web.FileResponse(HERE / request.path.rpartition("/")[2])

    async def info(self, request: web.Request) -> web.StreamResponse:
        """What the page is drawn from: texts, tiles, and what the server has."""
        language = request.query.get("language", "en")
        await self.queue.started.wait()
        choice = await self.asking.checkpoint()
        kinds = ("IP2PLoadCheckpoint", "IP2PKSampler", "IP2PSampleImage")
        info = await self.asking.catalog.of({kind: {"class_type": kind} for kind in kinds})
        lists = {
            name: list(inputs_of(info, kind)[name].choices)
            for kind, name in (
                *(("IP2PLoadCheckpoint", "checkpoint"), ("IP2PKSampler", "sampler_name")),
                *(("IP2PKSampler", "scheduler"), ("IP2PSampleImage", "scene")),
            )
        }
        defaults = {name: setting.default for name, setting in SETTINGS.items()}
        return web.json_response(
            {
                "texts": page_texts(language),
                "lists": lists,
                "defaults": {**defaults, "checkpoint": choice.name},
                "drawings": DRAWINGS if choice.name == BUILT_IN else "",
                "server": str(self.endpoints[0].url),
            }
        )

    async def state(self, request: web.Request) -> web.StreamResponse:
        session: Session = request["session"]
        return web.json_response({**session.shown(), "ahead": self.queue.positions()})

    async def events(self, request: web.Request) -> web.StreamResponse:
        """Tell an open page of what is new, as server-sent events."""
        session: Session = request["session"]
        answer = web.StreamResponse(
            headers={
                "Content-Type": "text/event-stream",
                "Cache-Control": "no-store",
                "X-Accel-Buffering": "no",
            }
        )
        await answer.prepare(request)
        news: asyncio.Queue[tuple[str, Any]] = asyncio.Queue(256)
        session.listeners.add(news)
        try:
            await answer.write(b"event: state\ndata: null\n\n")
            while True:
                try:
                    kind, data = await asyncio.wait_for(news.get(), 15)
                except asyncio.TimeoutError:
                    await answer.write(b": still here\n\n")
                    continue
                if kind == "preview":
                    data = {**data, "image": base64.b64encode(data["image"]).decode()}
                await answer.write(f"event: {kind}\ndata: {json.dumps(data)}\n\n".encode())
        except (ConnectionResetError, ConnectionError):
            return answer
        finally:
            session.listeners.discard(news)
            session.seen = time.monotonic()

    async def picture(self, request: web.Request) -> web.StreamResponse:
        session: Session = request["session"]
        kept = session.pictures.get(request.match_info["id"])
        if kept is None or not kept.path.is_file():
            raise web.HTTPNotFound
        kind = request.query.get("format")
        headers = {"Cache-Control": "private, max-age=3600"}
        if kind not in FORMATS:
            return web.FileResponse(kept.path, headers=headers)
        name = urllib.parse.quote(f"{Path(kept.name).stem}.{kind.replace('jpeg', 'jpg')}")
        headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{name}"
        body = await asyncio.to_thread(in_format, kept.path, kind)
        return web.Response(body=body, content_type=f"image/{kind}", headers=headers)

    async def zip(self, request: web.Request) -> web.StreamResponse:
        session: Session = request["session"]
        data = io.BytesIO()
        with zipfile.ZipFile(data, "w") as archive:
            for number, job in enumerate(session.jobs, 1):
                kept = session.pictures.get(job.result or "")
                if job.state == DONE and kept and not job.region:
                    archive.write(kept.path, f"{number:03d}-{kept.name}")
        headers = {"Content-Disposition": "attachment; filename=edits.zip"}
        return web.Response(body=data.getvalue(), content_type="application/zip", headers=headers)

    async def upload(self, request: web.Request) -> web.StreamResponse:
        """Take a picture, read and checked; a result brings its settings back."""
        session: Session = request["session"]
        name = Path(urllib.parse.unquote(request.headers.get("X-Name", "photo"))).name[:120]
        data = await request.read()
        role: Role = "mask" if "mask" in request.query else "source"
        with tempfile.NamedTemporaryFile(dir=session.folder) as file:
            file.write(data)
            file.flush()
            try:
                picture = await asyncio.to_thread(
                    read_picture, Path(file.name), role, name or "photo"
                )
            except InputError as error:
                raise Refused("upload", str(error)) from None
        suffix = Path(picture.name).suffix
        if role == "mask":
            kept = session.keep(name, suffix, picture.data)
        else:
            kept = session.upload(name, suffix, picture.data)
        return web.json_response(
            {"id": kept.id, "notes": picture.notes, "settings": settings_in(data)}
        )

    async def example(self, request: web.Request) -> web.StreamResponse:
        """One of the pack's own pictures as the source."""
        session: Session = request["session"]
        asked = await request.json()
        await self.queue.started.wait()
        data = await sample(self.asking, str(asked["scene"]), 0)
        name = str(asked["scene"]).partition(" - ")[0]
        kept = session.upload(f"{name}.png", ".png", data)
        return web.json_response({"id": kept.id})

    async def edit(self, request: web.Request) -> web.StreamResponse:
        """Queue edits: of one picture or of all, once or several times."""
        session: Session = request["session"]
        asked = await request.json()
        sources = session.uploads if asked.get("all") else [asked.get("source")]
        if not sources or not all(source in session.pictures for source in sources):
            raise Refused("upload", "give a picture first")
        mask = asked.get("mask")
        if mask is not None and mask not in session.pictures:
            raise Refused("mask", "the mask is not here any more; paint it again")
        instruction = worded(asked)
        settings = settings_of(asked)
        waiting = sum(job.state == "waiting" for job in session.jobs)
        count = int(checked_number(asked.get("count", 1), "count", 1, MAX_COUNT))
        if waiting + count * len(sources) > MAX_WAITING:
            raise Refused("go", f"no more than {MAX_WAITING} edits can wait; let some end first")
        turn, region = secrets.token_hex(8), bool(asked.get("region"))
        jobs = []
        for source in sources:
            for number in range(1 if region else count):
                own = drawn(settings, asked, number)
                jobs.append(Job(turn, source, instruction, own, None if region else mask, region))
        await self.queue.add(session, jobs)
        return web.json_response({"turn": turn})

    async def cancel(self, request: web.Request) -> web.StreamResponse:
        request["session"].cancel((await request.json()).get("turn"))
        self.queue.tell_all()
        return web.json_response({})

    async def current(self, request: web.Request) -> web.StreamResponse:
        """Go on from a picture: a result, an earlier turn, or the source."""
        session: Session = request["session"]
        wanted = (await request.json()).get("picture")
        if wanted not in session.pictures:
            raise Refused("", "this picture is not here any more")
        session.current = wanted
        session.tell()
        return web.json_response({})

    async def reset(self, request: web.Request) -> web.StreamResponse:
        request["session"].clear()
        return web.json_response({})


def refusal(where: str, message: str) -> web.Response:
    return web.json_response({"where": where, "message": message}, status=400)


def worded(asked: dict[str, Any]) -> str:
    """The instruction: the one that is written, or a preset's with its value."""
    preset = PRESETS.get(str(asked.get("preset", "")))
    text = preset.instruction(str(asked.get("value", ""))) if preset else asked.get("instruction")
    text = str(text or "").strip()
    if not text:
        raise Refused("instruction", "say what to change, such as: make it snow")
    if len(text) > 2000:
        raise Refused("instruction", "the instruction is longer than 2,000 characters")
    return text


def settings_of(asked: dict[str, Any]) -> dict[str, Any]:
    """The settings that are given, each checked, and whether the scales are looked for."""
    given = asked.get("settings") or {}
    found: dict[str, Any] = {}
    for name, value in given.items():
        if name in SETTINGS and value not in (None, ""):
            try:
                found[name] = SETTINGS[name].checked(value)
            except ValueError as error:
                raise Refused(name, str(error)) from None
    if asked.get("auto"):
        found = {name: value for name, value in found.items() if name not in RANDOM}
        found["auto"] = True
    return found


def drawn(settings: dict[str, Any], asked: dict[str, Any], number: int) -> dict[str, Any]:
    """The settings of one of several edits: another seed, and scales at random where wanted."""
    own = dict(settings)
    own["seed"] = (
        random.randrange(2**32)
        if asked.get("random_seed", True)
        else (int(settings.get("seed", 0)) + number) % 2**64
    )
    if asked.get("random_scales") and not asked.get("auto"):
        for name, (least, most) in RANDOM.items():
            own[name] = round(random.uniform(least, most), 2)
    return own


def checked_number(value: Any, where: str, least: float, most: float) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise Refused(where, f"{str(value)[:40]!r} is not a number") from None
    if not least <= number <= most:
        raise Refused(where, f"give {least:g} to {most:g}")
    return number
