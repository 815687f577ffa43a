"""A real OpenAI-compatible server on this machine: three dialects, and ways to fail."""

import asyncio
import contextlib
import json

from aiohttp import web

REFUSES = {  # the forms of an answer that a server of this dialect does not take
    "json_schema": (),
    "json_object": ("json_schema",),
    "text": ("json_schema", "json_object"),
}


class LanguageServer:
    """Answers each caption with edits that follow from it.

    dialect   the best form that it takes
    failures  what it does in place of an answer, one for each request, in turn
    edits     what it proposes of a caption: (instruction, edited caption)
    pause     seconds that it takes for each answer
    """

    def __init__(self, dialect="json_schema", failures=(), edits=None, key="") -> None:
        self.dialect, self.failures, self.key = dialect, list(failures), key
        self.edits = edits or (lambda caption: [(f"snow on {caption}", f"{caption} in snow")])
        self.requests = []
        self.pause = 0.01
        self.at_once = self.most_at_once = 0

    @contextlib.asynccontextmanager
    async def running(self):
        """Its address up to /v1."""
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self.chat)
        app.router.add_post("/v1/elsewhere", self.chat)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = site._server.sockets[0].getsockname()[1]
        try:
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            await runner.cleanup()

    async def chat(self, request):
        body = await request.json()
        self.requests.append((body, dict(request.headers), request.path))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(self.pause)
            return await self.answer(body, request)
        finally:
            self.at_once -= 1

    async def answer(self, body, request):
        if self.key and request.headers.get("Authorization") != f"Bearer {self.key}":
            return web.json_response({"error": "invalid api key"}, status=401)
        form = body.get("response_format", {}).get("type", "text")
        if form in REFUSES[self.dialect]:
            return web.json_response({"error": f"response_format {form} is not known"}, status=400)
        failure = self.failures.pop(0) if self.failures else None
        if failure == "cut connection":
            request.transport.close()
            return web.Response()
        if isinstance(failure, int):
            headers = {"Retry-After": "0"} if failure == 429 else {}
            headers |= {"Location": "elsewhere"} if failure == 307 else {}
            return web.json_response({"error": "not now"}, status=failure, headers=headers)
        return web.json_response(
            {"choices": [{"message": {"content": self.content(body, failure)}}]}
        )

    def content(self, body, failure):
        asked = body["messages"][-1]["content"]
        if "response_format" not in body:
            instruction, edited = self.edits(asked.removesuffix("\n##\n"))[0]
            text = f"{instruction}\n%%\n{edited}"
        else:
            edits = [
                {"instruction": a, "edited_caption": b}
                for a, b in self.edits(asked.partition(" of: ")[2])
            ]
            text = json.dumps({"edits": edits})
        return {
            None: text,
            "cut": text[: len(text) // 2].replace("%%", ""),
            "wrong types": json.dumps({"edits": [{"instruction": 5, "edited_caption": None}, 7]}),
            "around": f'<think>{{"edits": 3}} {{ hm</think>Sure! ```json\n{text}\n``` More?',
        }[failure]
