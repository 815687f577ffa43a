"""Pictures by URL: from this machine and from hosts that are allowed, bounded, never elsewhere."""

import asyncio

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from instruct_pix2pix.headless import fetch
from instruct_pix2pix.headless.errors import InputError
from instruct_pix2pix.headless.fetch import fetched, is_this_machine


def get(path, allow_hosts=(), host=None):
    """Fetch from a real server; the bytes and the name that they were kept under meanwhile."""

    async def handle(request):
        if request.path == "/moved.png":
            return web.Response(status=302, headers={"Location": "/a.jpg"})
        if request.path == "/endless.png":
            answer = web.StreamResponse()
            await answer.prepare(request)
            while True:
                await answer.write(bytes(2**16))
        return web.Response(status=404 if request.path == "/none.png" else 200, body=b"picture")

    async def once():
        app = web.Application()
        app.router.add_get("/{path}", handle)
        async with TestServer(app) as server:
            url = f"http://{host or '127.0.0.1'}:{server.port}/{path}"
            async with fetched(url, allow_hosts) as file:
                return file, file.read_bytes()

    file, data = asyncio.run(once())
    assert not file.exists()
    return file.suffix, data


def test_a_picture_of_this_machine_is_fetched():
    assert get("a.jpg") == (".jpg", b"picture")
    assert get("script.php?x=1") == (".png", b"picture")


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("none.png", "HTTP 404"),
        ("moved.png", "HTTP 302"),
        ("endless.png", "larger than"),
    ],
)
def test_what_is_no_picture_is_refused(monkeypatch, path, words):
    monkeypatch.setattr(fetch, "MAX_PICTURE", 2**20)
    with pytest.raises(InputError, match=words):
        get(path)


@pytest.mark.parametrize(
    "host",
    [
        *("example.com", "localhost.example.com", "127.0.0.1.example.com", "10.0.0.1"),
        *("127.0.0.1@example.com", "[::ffff:10.0.0.1]", "169.254.169.254", "0.0.0.0"),
        *("2130706433", "0x7f.1", "127.1"),  # which some take for this machine
    ],
)
def test_no_other_host_is_asked_unless_it_is_allowed(host):
    with pytest.raises(InputError, match="pictures are not fetched from"):
        get("a.jpg", host=host)
    assert is_this_machine("127.0.0.1") and is_this_machine("localhost") and is_this_machine("::1")


def test_an_allowed_host_is_asked(monkeypatch):
    """The name is this machine's as far as the system knows; only the list says that it may."""
    monkeypatch.setattr(fetch, "is_this_machine", lambda host: False)
    assert get("a.jpg", allow_hosts=("localhost",), host="localhost")[1] == b"picture"
    with pytest.raises(InputError, match="not fetched from localhost"):
        get("a.jpg", host="localhost")


def test_a_wrong_address_is_said():
    async def once(url):
        async with fetched(url, ()):
            pass

    for url in ("http://[", "http://", "http://127.0.0.1:99999/a.png"):
        with pytest.raises(InputError, match="http:"):
            asyncio.run(once(url))
