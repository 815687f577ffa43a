"""The page as a process of its own, and a person who uses its routes without a browser."""

import http.cookiejar
import io
import json
import os
import socket
import time
import urllib.error
import urllib.request
from contextlib import contextmanager

from instruct_pix2pix.tests.headless.command import ip2p, started
from PIL import Image

PATIENCE = 300.0  # seconds; a slow machine is not a failure


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@contextmanager
def page_at(server, *arguments, temporary=None):
    """The address of a page on a ComfyUI.

    temporary  the folder in which it keeps the files of its sessions
    """
    port = free_port()
    environ = {**os.environ, **({"TMPDIR": str(temporary)} if temporary else {})}
    process = ip2p("app", "--port", port, "--server", server.url, *arguments, env=environ)
    started.remove(process)  # it outlives the test that began it
    try:
        assert process.stdout.readline().strip() == f"http://127.0.0.1:{port}"
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.terminate()
        process.communicate(timeout=60)


class Person:
    """One browser's cookies, and the page's own routes."""

    def __init__(self, url):
        self.url = url
        jar = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self.opener = urllib.request.build_opener(jar)
        self.get("")

    def get(self, path, **headers):
        request = urllib.request.Request(self.url + path, headers=headers)
        with self.opener.open(request, timeout=PATIENCE) as answer:
            return answer.read()

    def post(self, path, body, **headers):
        """The status and the answer."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(self.url + "api/" + path, data, headers)
        try:
            with self.opener.open(request, timeout=PATIENCE) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            text = error.read()
            return error.code, json.loads(text) if text.startswith(b"{") else text.decode()

    def info(self, language="en"):
        return json.loads(self.get(f"api/info?language={language}"))

    def state(self):
        return json.loads(self.get("api/state"))

    def upload(self, path):
        status, told = self.post("upload", path.read_bytes(), **{"X-Name": path.name})
        assert status == 200, told
        return told["id"]

    def edit(self, source, **asked):
        settings = {"steps": 1} | asked.pop("settings", {})
        return self.post("edit", {"source": source, "settings": settings, **asked})

    def until(self, holds):
        """The jobs, once this holds of them."""
        deadline = time.monotonic() + PATIENCE
        while not holds(jobs := self.state()["jobs"]):
            assert time.monotonic() < deadline, jobs
            time.sleep(0.1)
        return jobs

    def finished(self):
        return self.until(lambda jobs: all(j["state"] not in ("waiting", "running") for j in jobs))

    def picture(self, key, query=""):
        return Image.open(io.BytesIO(self.get(f"api/picture/{key}{query}")))
