"""`ip2p models get` against a server that speaks the hub's protocol: redirects, ranges, faults."""

import hashlib
import http.server
import json
import os
import threading

import pytest

from .command import finished, ip2p

FILE = "instruct-pix2pix-00-22000.safetensors"
CONTENT = os.urandom(1 << 20) * 30  # the client writes every 10 MB


class Hub(http.server.ThreadingHTTPServer):
    """One repository; `cut` connections end in the middle; `wrong` content has another hash."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.cut, self.wrong, self.gated, self.seen = 0, False, False, []


class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.answer(with_body=False)

    def do_GET(self):
        self.answer(with_body=True)

    def answer(self, with_body):
        hub, content = self.server, CONTENT
        hub.seen.append((self.command, self.path, self.headers.get("Range"), self.headers))
        owned = hub.gated and self.path != "/storage/file"  # that address is a secret itself
        if owned and self.headers.get("Authorization") != "Bearer mine":
            return self.head(401, {"X-Error-Code": "GatedRepo", "X-Error-Message": "accept first"})
        if self.path == f"/timbrooks/instruct-pix2pix/resolve/main/{FILE}":
            return self.head(
                302,
                {
                    "Location": f"http://localhost:{hub.server_port}/storage/file",  # another host
                    "X-Repo-Commit": "a" * 40,
                    "X-Linked-Size": len(content),
                    "X-Linked-Etag": f'"{hashlib.sha256(content).hexdigest()}"',
                    "ETag": '"other"',
                },
            )
        if self.path == "/storage/file":
            if hub.wrong:
                content = bytes(len(content))
            return self.body(content, with_body)
        return self.head(404, {"X-Error-Code": "RepoNotFound"})

    def head(self, status, headers):
        self.send_response(status)
        for name, value in {**headers, "Content-Length": 0}.items():
            self.send_header(name, str(value))
        self.end_headers()

    def body(self, content, with_body):
        start = int((self.headers.get("Range") or "bytes=0-")[6:].split("-")[0])
        part = content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(part)))
        self.send_header("Accept-Ranges", "bytes")
        if start:
            last = len(content) - 1
            self.send_header("Content-Range", f"bytes {start}-{last}/{len(content)}")
        self.end_headers()
        if with_body and self.server.cut and part:
            self.server.cut -= 1
            self.wfile.write(part[: len(part) // 2])
            self.wfile.flush()
            self.close_connection = True
            self.connection.close()
        elif with_body:
            self.wfile.write(part)


@pytest.fixture
def hub():
    server = Hub()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def command(hub, folder, *arguments, **environment):
    kept = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
    place = {"HF_ENDPOINT": hub.url, "HF_HOME": str(folder / "home"), **environment}
    return finished(
        ip2p("models", *arguments, "--folder", folder / "models", env={**kept, **place})
    )


def written(folder):
    return folder / "models" / "checkpoints" / FILE


def test_the_list_says_what_is_there(hub, tmp_path):
    code, said = command(hub, tmp_path, "--json")
    assert code == 0, said
    rows = {row["name"]: row for row in json.loads(said)["models"]}
    assert rows["instruct-pix2pix"]["place"] == str(written(tmp_path))
    assert not any(row["there"] for row in rows.values())
    written(tmp_path).parent.mkdir(parents=True)
    written(tmp_path).write_bytes(b"x")
    rows = {r["name"]: r for r in json.loads(command(hub, tmp_path, "--json")[1])["models"]}
    assert [name for name, row in rows.items() if row["there"]] == ["instruct-pix2pix"]
    assert hub.seen == [], "listing asks nobody"


def test_a_file_comes_whole_over_a_redirect_and_is_not_fetched_twice(hub, tmp_path):
    code, said = command(hub, tmp_path, "get", "instruct-pix2pix")
    assert code == 0 and str(written(tmp_path)) in said.replace("\n", ""), said
    assert written(tmp_path).read_bytes() == CONTENT
    before = len([1 for kind, path, *_ in hub.seen if (kind, path) == ("GET", "/storage/file")])
    assert command(hub, tmp_path, "get", "instruct-pix2pix")[0] == 0
    after = len([1 for kind, path, *_ in hub.seen if (kind, path) == ("GET", "/storage/file")])
    assert after == before


def test_a_cut_connection_goes_on_where_it_was(hub, tmp_path):
    hub.cut = 1
    code, said = command(hub, tmp_path, "get", "instruct-pix2pix")
    if code:  # this version of the hub's client gives up at once; the same command goes on
        assert "goes on where it stopped" in " ".join(said.split()), said
        code, said = command(hub, tmp_path, "get", "instruct-pix2pix")
    assert code == 0 and written(tmp_path).read_bytes() == CONTENT
    assert any(asked and asked != "bytes=0-" for _, _, asked, _ in hub.seen), "a range was asked"


def test_a_wrong_file_is_deleted_and_said(hub, tmp_path):
    hub.wrong = True
    code, said = command(hub, tmp_path, "get", "instruct-pix2pix")
    assert code != 0 and "is not the hub's: SHA-256" in " ".join(said.split()), said
    assert not written(tmp_path).exists()
    hub.wrong = False
    assert command(hub, tmp_path, "get", "instruct-pix2pix")[0] == 0
    assert written(tmp_path).read_bytes() == CONTENT


def test_a_licence_to_accept_is_said_and_a_token_is_sent(hub, tmp_path):
    hub.gated = True
    code, said = command(hub, tmp_path, "get", "instruct-pix2pix")
    assert code == 3 and "accept the licence first" in " ".join(said.split()), said
    code, said = command(hub, tmp_path, "get", "instruct-pix2pix", HF_TOKEN="mine")
    assert code == 0 and written(tmp_path).read_bytes() == CONTENT, said


def test_what_is_not_known_or_not_there_is_said(hub, tmp_path):
    code, said = command(hub, tmp_path, "get", "magic")
    assert code == 3 and "choose one of instruct-pix2pix, magicbrush" in " ".join(said.split())
    code, said = command(hub, tmp_path, "get", "magicbrush")
    assert code == 3 and "the hub has no osunlp/InstructPix2Pix-MagicBrush" in " ".join(
        said.split()
    )
