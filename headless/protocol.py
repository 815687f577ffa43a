"""ComfyUI's HTTP and WebSocket protocol, one method for each route that we use.

Nothing that comes from a server is trusted: answers are bounded in size, redirects are refused,
and what has not the expected shape raises ServerMisbehaved with a plain sentence.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, BinaryIO, NoReturn

import aiohttp
from yarl import URL

from .errors import (
    AccessDenied,
    InputError,
    IP2PError,
    JobLost,
    ServerMisbehaved,
    ServerUnavailable,
    WorkflowRefused,
)
from .messages import (
    Event,
    FileRef,
    Preview,
    Prompt,
    parse_event,
    parse_file,
    parse_preview,
    short,
)
from .refusals import refusal

MAX_JSON = 64 * 2**20
MAX_MESSAGE = 64 * 2**20
MAX_FILE = 2 * 2**30


class Server:
    """One ComfyUI address. Use as an async context manager; it holds the HTTP session.

    headers  sent with every request, for a proxy that wants Authorization
    verify   True, False to accept any TLS certificate, or the path of a CA file
    """

    def __init__(
        self, url: str, *, headers: Mapping[str, str] | None = None, verify: bool | str = True
    ) -> None:
        try:
            address = url if "://" in url else f"http://{url}"
            self.url = URL(address.rstrip("/") + "/")
        except ValueError as error:
            raise InputError(f"server address {url!r}: {error}") from None
        if self.url.scheme not in ("http", "https") or not self.url.host:
            raise InputError(f"server address {url!r}: expected the form http://127.0.0.1:8188")
        self._headers = dict(headers or {})
        self._verify = verify

    async def __aenter__(self) -> Server:
        trace = aiohttp.TraceConfig()
        trace.on_request_redirect.append(_refuse_redirect)
        try:
            tls: bool | ssl.SSLContext = (
                ssl.create_default_context(cafile=self._verify)
                if isinstance(self._verify, str)
                else self._verify
            )
        except (OSError, ssl.SSLError) as error:
            raise InputError(f"CA file {self._verify!r} cannot be read: {error}") from None
        self._session = aiohttp.ClientSession(
            headers=self._headers,
            connector=aiohttp.TCPConnector(ssl=tls),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=60),
            trace_configs=[trace],
        )
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._session.close()

    async def system_stats(self) -> dict[str, Any]:
        stats = await self._json("GET", "system_stats")
        if not isinstance(stats.get("system"), dict):
            raise ServerMisbehaved(f"{self.url} answers, but not as ComfyUI does")
        return stats

    async def object_info(self, node: str = "") -> dict[str, Any]:
        """The description of one node, or of all; empty where the server has no such node."""
        return await self._json("GET", f"object_info/{node}" if node else "object_info")

    async def model_folders(self, *kinds: str) -> list[str]:
        """Where the server looks for models of these kinds, such as "checkpoints"."""
        found = await self._json("GET", "experiment/models", kind=list)
        named = [f for f in found if isinstance(f, dict) and f.get("name") in kinds]
        listed = [f.get("folders") for f in named]
        return [
            str(folder) for folders in listed if isinstance(folders, list) for folder in folders
        ]

    async def post_prompt(
        self, prompt: Prompt, prompt_id: str, client_id: str, extra: dict[str, Any] | None = None
    ) -> None:
        """Queue a prompt under an id that we choose.

        Raises WorkflowRefused also where only a part of the prompt is valid. The server has queued
        that part then; the caller takes it off again.
        """
        body = {
            "prompt": prompt,
            "prompt_id": prompt_id,
            "client_id": client_id,
            **({"extra_data": extra} if extra else {}),
        }
        reply = await self._json("POST", "prompt", json=body, prompt=prompt)
        if reply.get("prompt_id") != prompt_id:
            other = short(reply.get("prompt_id"))
            raise ServerMisbehaved(f"{self.url} queued our prompt {prompt_id} as {other}")
        if reply.get("node_errors"):
            raise await self._refusal(prompt, reply)

    async def queued(self, prompt_id: str) -> str | None:
        """ "running", "pending", or None where the queue does not hold the prompt."""
        queue = await self._json("GET", "queue")
        for state in ("running", "pending"):
            items = queue.get(f"queue_{state}", [])
            if not isinstance(items, list):
                raise ServerMisbehaved(f"{self.url}/queue: queue_{state} is not a list")
            if any(isinstance(i, list) and len(i) > 1 and i[1] == prompt_id for i in items):
                return state
        return None

    async def history(self, prompt_id: str) -> dict[str, Any] | None:
        """What the server recorded about a finished prompt; None while there is nothing."""
        entry = (await self._json("GET", f"history/{prompt_id}")).get(prompt_id)
        if entry is not None and not isinstance(entry, dict):
            raise ServerMisbehaved(f"{self.url}/history: the entry is not an object")
        return entry

    async def cancel(self, prompt_id: str) -> None:
        """Take a prompt out of the queue, or stop it if it runs. Other people's prompts go on."""
        await self._send("queue", {"delete": [prompt_id]})
        if await self.queued(prompt_id) == "running":
            await self._send("interrupt", {"prompt_id": prompt_id})

    async def forget(self, prompt_id: str) -> None:
        """Remove a finished prompt from the server's history."""
        await self._send("history", {"delete": [prompt_id]})

    async def upload(self, data: bytes, name: str, subfolder: str) -> FileRef:
        """Put a picture into the server's input folder, where equal files are kept once."""
        form = aiohttp.FormData()
        form.add_field("image", data, filename=name, content_type="application/octet-stream")
        form.add_field("subfolder", subfolder)
        return parse_file(await self._json("POST", "upload/image", data=form), key="name")

    async def download(self, ref: FileRef, into: BinaryIO) -> None:
        """Write one of the server's files into an open file."""
        where = {"filename": ref.filename, "subfolder": ref.subfolder, "type": ref.type}
        async with self._request("GET", "view", params=where) as answer:
            if answer.status == 404:
                raise JobLost(f"{self.url} no longer has its output {ref.filename!r}")
            await self._check(answer)
            size = 0
            async for chunk in answer.content.iter_chunked(2**16):
                size += len(chunk)
                if size > MAX_FILE:
                    raise ServerMisbehaved(f"{self.url} sends more than 2 GiB as {ref.filename!r}")
                into.write(chunk)

    @asynccontextmanager
    async def socket(self, client_id: str) -> AsyncIterator[AsyncIterator[Event | Preview]]:
        """Open the socket and iterate over what it says; nonsense is passed over."""
        url = self.url / "ws"
        try:
            socket = await self._session.ws_connect(
                url.with_scheme("wss" if url.scheme == "https" else "ws"),
                params={"clientId": client_id},
                max_msg_size=MAX_MESSAGE,
                heartbeat=30,
            )
            try:
                flags = {"supports_preview_metadata": True}
                await socket.send_json({"type": "feature_flags", "data": flags})
                yield _messages(socket)
            finally:
                with suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(socket.close(), 1)  # a server may talk on for ever
        except aiohttp.WSServerHandshakeError as error:
            if error.status in (401, 403):
                raise AccessDenied(f"{url} refuses the socket (HTTP {error.status})") from None
            raise ServerUnavailable(f"{url}: no socket (HTTP {error.status})") from None
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
            raise ServerUnavailable(f"{url}: {error or type(error).__name__}") from None

    async def _refusal(self, prompt: Prompt, reply: dict[str, Any]) -> WorkflowRefused:
        """The exception for a refused prompt, with what the server says of the prompt's nodes."""
        info: dict[str, Any] = {}
        try:
            for kind in {str(described.get("class_type")) for described in prompt.values()}:
                info |= await self.object_info(kind)
        except IP2PError:  # must not hide the refusal
            return refusal(prompt, reply)
        return refusal(prompt, reply, info)

    async def _send(self, path: str, body: dict[str, Any]) -> None:
        """POST to a route that answers with nothing."""
        async with self._request("POST", path, json=body) as answer:
            await self._check(answer)

    async def _json(
        self,
        method: str,
        path: str,
        *,
        prompt: Prompt | None = None,
        kind: type = dict,
        **request: Any,
    ) -> Any:
        async with self._request(method, path, **request) as answer:
            await self._check(answer, prompt)
            return self._decode(path, await self._body(answer), kind)

    @asynccontextmanager
    async def _request(
        self, method: str, path: str, **request: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        try:
            async with self._session.request(method, self.url / path, **request) as answer:
                yield answer
        except aiohttp.ClientConnectorCertificateError as error:
            raise AccessDenied(
                f"{self.url}: its TLS certificate is not trusted ({error.certificate_error}); "
                "give the CA that signed it, or accept any"
            ) from None
        except (
            aiohttp.ClientPayloadError,
            aiohttp.ClientConnectionError,
            asyncio.TimeoutError,
        ) as error:
            raise ServerUnavailable(
                f"no answer from {self.url} ({error or type(error).__name__}); "
                "is ComfyUI running there?"
            ) from None
        except aiohttp.ClientError as error:
            raise ServerMisbehaved(f"{self.url}{path}: {error or type(error).__name__}") from None

    async def _check(self, answer: aiohttp.ClientResponse, prompt: Prompt | None = None) -> None:
        if answer.status < 300:
            return
        where = f"{answer.url.with_query(None)} answers HTTP {answer.status}"
        if answer.status == 400 and prompt is not None:
            raise await self._refusal(prompt, self._decode("prompt", await self._body(answer)))
        if answer.status in (401, 403, 407):
            raise AccessDenied(
                f"{where}; it wants credentials that were not given or are not right"
            )
        if answer.status == 413:
            raise InputError(
                f"{where}: the file is larger than the server accepts (--max-upload-size)"
            )
        if answer.status in (502, 503, 504):
            raise ServerUnavailable(f"{where}: the proxy does not reach ComfyUI")
        raise ServerMisbehaved(
            f"{where}: {short((await self._body(answer)).decode(errors='replace'))}"
        )

    async def _body(self, answer: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for chunk in answer.content.iter_chunked(2**16):
            body += chunk
            if len(body) > MAX_JSON:
                raise ServerMisbehaved(
                    f"{answer.url} answers with more than {MAX_JSON >> 20} MiB of JSON"
                )
        return bytes(body)

    def _decode(self, path: str, body: bytes, kind: type = dict) -> Any:
        try:
            value = json.loads(body)
        except (ValueError, RecursionError):
            text = short(body.decode(errors="replace"))
            raise ServerMisbehaved(f"{self.url}{path} does not answer with JSON: {text}") from None
        if not isinstance(value, kind):
            raise ServerMisbehaved(
                f"{self.url}{path} answers with {type(value).__name__}, not with {kind.__name__}"
            )
        return value


async def _messages(socket: aiohttp.ClientWebSocketResponse) -> AsyncIterator[Event | Preview]:
    async for message in socket:
        if message.type == aiohttp.WSMsgType.TEXT:
            parsed: Event | Preview | None = parse_event(message.data)
        else:
            parsed = parse_preview(message.data) if isinstance(message.data, bytes) else None
        if parsed is not None:
            yield parsed
        await asyncio.sleep(0)  # a server that never stops talking must not stop all else


async def _refuse_redirect(
    session: aiohttp.ClientSession, context: Any, params: aiohttp.TraceRequestRedirectParams
) -> NoReturn:
    target = params.response.headers.get("Location", "?")
    raise ServerMisbehaved(
        f"{params.url} redirects to {short(target)}; give that address if you trust it"
    )
