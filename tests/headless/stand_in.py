"""A real HTTP server that answers as ComfyUI does, but for what a test changes."""

import asyncio
import contextlib

from aiohttp import web
from aiohttp.test_utils import TestServer
from instruct_pix2pix.headless.client import Client


class StandIn:
    """What it answers, and what it was asked.

    answers   (status, body[, headers]) by the first part of the path, in place of the usual
    endless   a route whose body never ends
    messages  what the socket says at first; `for_ever` is said again and again after that
    cut       seconds after which the socket is closed, each time
    takes     seconds from a prompt to its end
    forgets   so many prompts are lost, as by a restart, before one is kept
    secret    the Authorization header that every route wants
    """

    def __init__(self):
        self.answers, self.messages, self.outputs = {}, [], {}
        self.endless = self.for_ever = self.cut = self.secret = None
        self.takes, self.forgets = 0.0, 0
        self.asked, self.prompts, self.queued, self.most = [], [], {}, 0
        self.status = {"status_str": "success", "messages": []}

    async def handle(self, request):
        path = request.path.strip("/").split("/")[0]
        self.asked.append((path, request.headers))
        if self.secret and request.headers.get("Authorization") != self.secret:
            return web.Response(status=401)
        if path == self.endless:
            answer = web.StreamResponse()
            await answer.prepare(request)
            while True:
                await answer.write(bytes(2**16))
        if path in self.answers:
            status, body, headers = (*self.answers[path], {})[:3]
            return web.Response(status=status, body=body, headers=headers)
        if path == "ws":
            return await self.socket(request)
        if path == "prompt":
            sent = await request.json()
            self.prompts.append(sent["prompt_id"])
            if self.forgets:
                self.forgets -= 1
            else:
                self.queued[sent["prompt_id"]] = asyncio.get_running_loop().time() + self.takes
                self.most = max(self.most, len(self.waiting()))
            return web.json_response({"prompt_id": sent["prompt_id"], "node_errors": {}})
        if path == "history":
            job = request.path.split("/")[-1]
            ended = job in self.queued and job not in self.waiting()
            entry = {"status": self.status, "outputs": self.outputs}
            return web.json_response({job: entry} if ended else {})
        if path == "queue":
            waiting = [[0, job] for job in self.waiting()]
            return web.json_response({"queue_running": waiting, "queue_pending": []})
        if path == "system_stats":
            return web.json_response({"system": {}})
        return web.Response(status=404)

    def waiting(self):
        now = asyncio.get_running_loop().time()
        return [job for job, end in self.queued.items() if end > now]

    async def socket(self, request):
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        for message in self.messages:
            await say(socket, message)
        with contextlib.suppress(ConnectionResetError):
            while self.for_ever is not None:
                for _ in range(1000):
                    await say(socket, self.for_ever)
                await asyncio.sleep(0)  # server and client share a loop
        if self.cut is None:
            await socket.receive()
            await socket.receive()
        else:
            await asyncio.sleep(self.cut)
            await socket.close()
        return socket


async def say(socket, message):
    await (socket.send_bytes if isinstance(message, bytes) else socket.send_str)(message)


def serve(state, tls=None):
    """call(use, **options), which runs `use(client)` on the server, and what ends the server."""
    loop = asyncio.new_event_loop()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", state.handle)
    server = TestServer(app)
    loop.run_until_complete(server.start_server(loop=loop, ssl=tls))

    def call(use, **options):
        async def once():
            url = str(server.make_url("/"))
            async with Client(url, **{"patience": 0.3, "timeout": 5, **options}) as client:
                return await use(client)

        return loop.run_until_complete(once())

    def end():
        loop.run_until_complete(server.close())
        loop.close()

    call.state = state
    return call, end
