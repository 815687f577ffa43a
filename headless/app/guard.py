"""Who may come in, whose session it is, and errors as sentences in the page's language."""

from __future__ import annotations

import base64
import contextlib
import hmac
import time
import urllib.parse
from collections.abc import Awaitable, Callable

from aiohttp import web

from ..errors import IP2PError
from .asked import Refused
from .page import translated
from .session import Session

COOKIE = "ip2p_session"
MAX_UPLOAD = 40 << 20
# Nothing comes from elsewhere, and no other site may hold the page in a frame.
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data: blob:; base-uri 'none'; frame-ancestors 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}
OVER = "this session has ended, and its pictures are removed; load the page again"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Guard:
    """The middleware before every route.

    auth      "user:password" that the browser must give; None for no password
    sessions  by the cookie; the page itself begins one
    """

    def __init__(self, auth: str | None, sessions: dict[str, Session]) -> None:
        self.auth, self.sessions = auth, sessions

    def middleware(self) -> Callable[..., Awaitable[web.StreamResponse]]:
        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            answer = await self.answer(request, handler)
            if not answer.prepared:
                answer.headers.update(HEADERS)
            return answer

        return guard

    async def answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if self.auth and not self.knows(request.headers.get("Authorization", "")):
            return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="ip2p"'})
        if request.method == "POST" and not from_this_page(request):
            return web.Response(status=403, text="this page takes orders from itself only")
        session = self.sessions.get(request.cookies.get(COOKIE, ""))
        if session is None and request.path.startswith("/api/"):
            return refusal(request, "", OVER, status=410)
        if session:
            session.seen = time.monotonic()
            request["session"] = session
        try:
            return await handler(request)
        except Refused as error:
            return refusal(request, error.where, str(error))
        except web.HTTPRequestEntityTooLarge:
            return refusal(request, "upload", f"the file is larger than {MAX_UPLOAD >> 20} MB")
        except IP2PError as error:
            return refusal(request, "", str(error))

    def knows(self, header: str) -> bool:
        kind, _, given = header.partition(" ")
        with contextlib.suppress(ValueError):
            text = base64.b64decode(given, validate=True)
            return kind == "Basic" and hmac.compare_digest(text, str(self.auth).encode())
        return False


def from_this_page(request: web.Request) -> bool:
    """Whether no other site asks in a visitor's name."""
    origin = request.headers.get("Origin")
    ours = (request.host, request.headers.get("X-Forwarded-Host", request.host))
    return not origin or urllib.parse.urlsplit(origin).netloc in ours


def language_of(request: web.Request) -> str:
    return request.headers.get("X-Language") or request.query.get("language", "en")


def refusal(request: web.Request, where: str, message: str, status: int = 400) -> web.Response:
    told = {"where": where, "message": translated(message, language_of(request))}
    return web.json_response(told, status=status)
