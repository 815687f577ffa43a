"""A server may answer anything: the client ends with an error of its own, and writes nowhere else.

The server here is a real HTTP server whose answers the tests choose (`stand_in.py`).
"""

import asyncio
import json

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from instruct_pix2pix.headless import protocol as protocol_module
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
from instruct_pix2pix.headless.formats import PNG
from instruct_pix2pix.headless.messages import FileRef, parse_event, parse_file, parse_preview

from .graphs import colour

PNG = PNG.start + b"anything" + PNG.end


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
        ("history", (200, b"[]"), ServerMisbehaved, "list"),
    ],
)
def test_a_wrong_answer_has_a_plain_error(hostile, path, answer, error, words):
    hostile.state.answers[path] = answer
    with pytest.raises(error, match=words):
        hostile(run)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("path", ["prompt", "history", "upload", "view", "system_stats", "ws"])
def test_no_redirect_is_followed(hostile, picture, tmp_path, path, status):
    """Credentials and pictures would go to a stranger. Without a socket the job is polled for."""

    async def stranger(request):
        met.append(request)
        return web.Response()

    async def use(client):
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", stranger)
        async with TestServer(app) as server:
            target = str(server.make_url("/steal"))
            hostile.state.answers[path] = (status, b"", {"Location": target})
            calls = {
                "upload": lambda: client.upload(picture),
                "view": lambda: client.save(FileRef("a.png"), tmp_path / "a.png"),
            }
            call = calls.get(path, lambda: run(client))
            if path == "ws":
                return await call()
            with pytest.raises(ServerMisbehaved, match="redirects to .*/steal"):
                await call()

    met = []
    hostile(use, headers={"Authorization": "secret"})
    assert not met and not (tmp_path / "a.png").exists()


@pytest.mark.parametrize("message", [json.dumps({"type": "status", "data": {}}), "x" * 5000, b"x"])
def test_an_endless_socket_holds_nobody_up(hostile, monkeypatch, message):
    """It says the same for ever, or too much at once; the end of the job is found all the same."""
    monkeypatch.setattr(protocol_module, "MAX_MESSAGE", 1000)
    hostile.state.for_ever = message
    hostile(run)


@pytest.mark.parametrize("path", ["history", "queue", "system_stats", "view"])
def test_an_endless_answer_is_cut_off(hostile, monkeypatch, tmp_path, path):
    monkeypatch.setattr(protocol_module, "MAX_JSON", 2**20)
    monkeypatch.setattr(protocol_module, "MAX_FILE", 2**20)
    hostile.state.endless = path
    calls = {
        "queue": lambda client: client.server.queued("x"),
        "view": lambda client: client.save(FileRef("a.png"), tmp_path / "a.png"),
        "system_stats": lambda client: client.ready(),
    }
    with pytest.raises(ServerMisbehaved, match="more than"):
        hostile(calls.get(path, run))
    assert not list(tmp_path.iterdir())


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


def test_outputs_outside_the_servers_folders_are_refused(hostile):
    hostile.state.outputs = {"2": {"images": [{"filename": "../../evil.png", "type": "output"}]}}
    with pytest.raises(ServerMisbehaved, match="outside its folders"):
        hostile(run)


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
    for url in ("ftp://x", "http://", "http://[", ""):
        with pytest.raises(InputError, match="server address"):
            Client(url)
