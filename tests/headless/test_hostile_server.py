"""A server may answer anything: the client ends with an error of its own, and writes nowhere else.

The server here is a real HTTP server whose answers the tests choose.
"""

import asyncio
import json

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from instruct_pix2pix.headless import client as client_module
from instruct_pix2pix.headless.client import Client
from instruct_pix2pix.headless.errors import (
    AccessDenied,
    InputError,
    IP2PError,
    JobTimeout,
    ServerMisbehaved,
    ServerUnavailable,
    WorkflowRefused,
)
from instruct_pix2pix.headless.files import PNG_END, PNG_START
from instruct_pix2pix.headless.messages import FileRef, parse_event, parse_file, parse_preview

from .graphs import colour

PNG = PNG_START + b"anything" + PNG_END
DONE = {"status": {"status_str": "success", "messages": []}, "outputs": {}}


class Hostile:
    """Answers as ComfyUI does, but for the routes that a test replaces: path -> (status, body)."""

    def __init__(self):
        self.answers = {}
        self.messages = []
        self.asked = []

    async def handle(self, request):
        path = request.path.strip("/").split("/")[0]
        self.asked.append((path, request.headers))
        if path in self.answers:
            status, body, headers = (*self.answers[path], {})[:3]
            return web.Response(status=status, body=body, headers=headers)
        if path == "ws":
            socket = web.WebSocketResponse()
            await socket.prepare(request)
            for message in self.messages:
                await (socket.send_bytes if isinstance(message, bytes) else socket.send_str)(
                    message
                )
            await socket.receive()
            return socket
        if path == "prompt":
            sent = await request.json()
            return web.json_response({"prompt_id": sent["prompt_id"], "node_errors": {}})
        if path == "history":
            return web.json_response({request.path.split("/")[-1]: DONE})
        if path == "queue":
            return web.json_response({"queue_running": [], "queue_pending": []})
        if path == "system_stats":
            return web.json_response({"system": {}})
        return web.Response(status=404)


@pytest.fixture
def hostile(monkeypatch):
    """call(use, **options): run `use(client)` against the hostile server."""
    monkeypatch.setattr(client_module, "POLL", 0.01)
    loop = asyncio.new_event_loop()
    state = Hostile()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", state.handle)
    server = TestServer(app)
    loop.run_until_complete(server.start_server(loop=loop))

    def call(use, **options):
        async def once():
            url = str(server.make_url("/"))
            async with Client(url, **{"patience": 0.3, "timeout": 5, **options}) as client:
                return await use(client)

        return loop.run_until_complete(once())

    call.state = state
    yield call
    loop.run_until_complete(server.close())
    loop.close()


def run(client):
    return client.run(colour())


def test_answers_as_comfyui_are_understood(hostile):
    assert hostile(run).outputs == ()


@pytest.mark.parametrize(
    ("path", "answer", "error", "words"),
    [
        ("prompt", (200, b'{"prompt_id": "tru'), ServerMisbehaved, "does not answer with JSON"),
        ("prompt", (200, b"[" * 100_000), ServerMisbehaved, "does not answer with JSON"),
        ("prompt", (200, b"<html>login</html>"), ServerMisbehaved, "<html>"),
        ("prompt", (200, b'{"prompt_id": "another"}'), ServerMisbehaved, "another"),
        ("prompt", (200, b"{}"), ServerMisbehaved, "None"),
        ("prompt", (400, b'{"error": "no prompt"}'), WorkflowRefused, "no prompt"),
        ("prompt", (400, b'{"error": {"message": "x"}, "node_errors": [1]}'), WorkflowRefused, "x"),
        ("prompt", (401, b""), AccessDenied, "credentials"),
        ("prompt", (403, b""), AccessDenied, "credentials"),
        ("prompt", (500, b"\x1b[31mboom"), ServerMisbehaved, r"HTTP 500: \?\[31mboom"),
        ("history", (502, b"bad gateway"), ServerUnavailable, "proxy"),
        (
            "prompt",
            (307, b"", {"Location": "http://example.com/steal"}),
            ServerMisbehaved,
            "redirects to http://example.com/steal",
        ),
        ("history", (200, b"[]"), ServerMisbehaved, "list"),
        ("history", (302, b"", {"Location": "http://example.com/"}), ServerMisbehaved, "redirects"),
    ],
)
def test_a_wrong_answer_has_a_plain_error(hostile, path, answer, error, words):
    hostile.state.answers[path] = answer
    with pytest.raises(error, match=words):
        hostile(run)


def test_a_redirected_socket_is_not_followed(hostile):
    """Its credentials would go to a stranger; the job is polled for instead."""
    hostile.state.answers["ws"] = (302, b"", {"Location": "/elsewhere"})
    hostile(run, headers={"Authorization": "secret"})
    assert "elsewhere" not in [path for path, _ in hostile.state.asked]
    assert all(headers["Authorization"] == "secret" for _, headers in hostile.state.asked)


def test_a_job_that_never_ends_is_timed_out(hostile):
    """The socket chatters, the queue has the job, the history never gets it."""
    hostile.state.messages = [json.dumps({"type": "status", "data": {}})] * 2000
    hostile.state.answers["history"] = (200, b"{}")

    async def queue(client):
        task = asyncio.create_task(client.run(colour()))
        while not client._jobs:
            await asyncio.sleep(0)
        running = json.dumps({"queue_running": [[0, k] for k in client._jobs]}).encode()
        hostile.state.answers["queue"] = (200, running)
        return await task

    with pytest.raises(JobTimeout):
        hostile(queue, timeout=1.0)


@pytest.mark.parametrize(
    "name",
    ["../evil.png", "/etc/passwd", "a/b.png", "..", "", "c:evil.png", "x\0.png", "..\\evil.png", 7],
)
def test_a_file_name_with_a_path_is_refused(name):
    with pytest.raises(ServerMisbehaved):
        parse_file({"filename": name})


@pytest.mark.parametrize("change", [{"subfolder": "../.."}, {"subfolder": "/"}, {"type": "etc"}])
def test_a_file_in_another_folder_is_refused(change):
    with pytest.raises(ServerMisbehaved):
        parse_file({"filename": "a.png", **change})


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (PNG, None),
        (PNG[:-4], ServerMisbehaved),
        (b"", ServerMisbehaved),
        (b"<html>", ServerMisbehaved),
    ],
)
def test_a_result_is_saved_whole_or_not_at_all(hostile, tmp_path, body, error):
    hostile.state.answers["view"] = (200, body)
    target = tmp_path / "deep" / "out.png"
    save = lambda client: client.save(FileRef("a.png"), target)  # noqa: E731
    if error:
        with pytest.raises(error):
            hostile(save)
    else:
        hostile(save)
    assert [p.name for p in target.parent.iterdir()] == ([] if error else ["out.png"])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["status", "outputs", "messages", "images", "filename", "1", "x"])
            | st.text(max_size=5),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
quick = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@quick
@given(entry=json_values)
def test_any_history_gives_a_result_or_an_error_of_ours(hostile, entry):

    async def use(client):
        task = asyncio.create_task(client.run(colour()))
        while not client._jobs:
            await asyncio.sleep(0)
        (prompt_id,) = client._jobs
        hostile.state.answers["history"] = (200, json.dumps({prompt_id: entry}).encode())
        return await task

    try:
        for output in hostile(use, timeout=0.2).outputs:
            assert "/" not in output.file.filename
    except IP2PError as error:
        assert len(str(error)) < 4000


@quick
@given(body=st.binary(max_size=200) | json_values.map(lambda v: json.dumps(v).encode()))
@pytest.mark.parametrize("path", ["prompt", "upload", "system_stats", "history", "queue"])
def test_any_answer_gives_an_error_of_ours(hostile, path, body, picture):
    hostile.state.answers = {path: (200, body)}
    calls = {
        "upload": lambda c: c.upload(picture),
        "system_stats": lambda c: c.ready(),
        "queue": lambda c: c.server.queued("x"),
    }
    try:
        hostile(calls.get(path, run), timeout=0.2)
    except IP2PError as error:
        assert len(str(error)) < 4000


@given(st.binary(max_size=64) | st.text(max_size=64))
def test_any_message_is_read_or_passed_over(message):
    if isinstance(message, bytes):
        parse_preview(message)
    else:
        parse_event(message)


def test_a_preview_names_its_job():
    named = json.dumps({"prompt_id": "abc"}).encode()
    message = (4).to_bytes(4, "big") + len(named).to_bytes(4, "big") + named + b"JPEG"
    assert parse_preview(message).prompt_id == "abc"
    assert parse_preview(message).image == b"JPEG"


def test_a_wrong_address_is_named():
    for url in ("localhost:8188", "ftp://x", "http://", "http://[", "nonsense"):
        with pytest.raises(InputError, match="server address"):
            Client(url)
