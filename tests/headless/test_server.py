"""The private server: found, started, and gone afterwards, however its owner ends.

Real ComfyUI starts in the fixture of the other tests. Here a stand-in takes its place that starts
at once, so that every way to end can be tried.
"""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from instruct_pix2pix.headless.client import Client
from instruct_pix2pix.headless.errors import ComfyUINotFound, ServerUnavailable
from instruct_pix2pix.headless.server import Installation, PrivateServer, find_comfyui, free_port

from .command import finished, ip2p

MAIN = """
import http.server, pathlib, subprocess, sys

port = int(sys.argv[sys.argv.index("--port") + 1])
child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
pathlib.Path(__file__).with_name("child").write_text(str(child.pid))

class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(b'{"system": {}}')

http.server.ThreadingHTTPServer(("127.0.0.1", port), Answer).serve_forever()
"""

OWNER = """
import asyncio, sys, types
from pathlib import Path

pack = types.ModuleType("instruct_pix2pix")
pack.__path__ = [sys.argv[1]]
sys.modules["instruct_pix2pix"] = pack
from instruct_pix2pix.headless.options import finish
from instruct_pix2pix.headless.server import Installation, PrivateServer

async def own():
    tree = Installation(Path(sys.argv[2]), sys.executable, "test")
    async with PrivateServer(tree, log=Path(sys.argv[2], "log")) as server:
        child = Path(sys.argv[2], "child").read_text()
        print(server.process.pid, child, server.scratch, flush=True)
        await asyncio.Event().wait()

finish(own())
"""


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "tree" / "comfy").mkdir(parents=True)
    (tmp_path / "tree" / "main.py").write_text(MAIN)
    return tmp_path / "tree"


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A process that nobody has waited for yet is dead all the same.
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def wait_until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_is_left_however_the_owner_is_ended(tree, how):
    """The server, the processes that it started, and its scratch folder."""
    root = Path(__file__).resolve().parents[2]
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(root), str(tree)], stdout=subprocess.PIPE, text=True
    )
    server, child, scratch = owner.stdout.readline().split()
    assert alive(int(server)) and alive(int(child)) and Path(scratch).is_dir()
    owner.send_signal(how)
    owner.wait(60)
    owner.stdout.close()
    wait_until(lambda: not alive(int(server)) and not alive(int(child)))
    wait_until(lambda: not Path(scratch).exists())


@pytest.mark.parametrize(("how", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_serve_runs_until_it_is_stopped(tree, how, code):
    port = free_port()
    environment = {**os.environ, "COMFYUI_PATH": str(tree), "COMFYUI_PYTHON": sys.executable}
    serving = ip2p("serve", "--port", port, "--fast", env=environment)
    wait_until((tree / "child").exists)
    (server,) = psutil.Process(serving.pid).children()
    scratch = Path(server.cmdline()[3])
    assert scratch.is_dir() and {"--fast", str(port)} <= set(server.cmdline())
    child = int((tree / "child").read_text())
    serving.send_signal(how)
    assert finished(serving)[0] == code
    wait_until(lambda: not alive(server.pid) and not alive(child))
    assert not scratch.exists()


def test_nothing_is_left_after_an_exception(tree):
    async def use():
        async with PrivateServer(Installation(tree, sys.executable, "test")) as server:
            left.append(server)
            raise RuntimeError("mine")

    left = []
    with pytest.raises(RuntimeError, match="mine"):
        asyncio.run(use())
    assert not left[0].alive and not left[0].scratch.exists() and not left[0].log.exists()


def test_a_dead_server_can_be_started_again_in_place(tree):
    async def use():
        async with PrivateServer(Installation(tree, sys.executable, "test")) as server:
            (server.scratch / "input" / "kept").touch()
            os.killpg(server.process.pid, signal.SIGKILL)
            server.process.wait()
            assert not server.alive
            await server.start()
            assert server.alive and (server.scratch / "input" / "kept").exists()

    asyncio.run(use())


def test_a_failed_start_shows_and_keeps_the_log(tree):
    (tree / "main.py").write_text("raise SystemExit('no such device')")
    with pytest.raises(ServerUnavailable, match="no such device") as caught:
        asyncio.run(PrivateServer(Installation(tree, sys.executable, "test")).__aenter__())
    log = Path(str(caught.value).split("The end of its log, ")[1].split(":")[0])
    assert "no such device" in log.read_text()
    log.unlink()


def test_a_server_that_dies_in_use_is_explained(tree):
    """The caller meets a connection that fails; the log says why."""
    (tree / "main.py").write_text(
        MAIN.replace("class Answer", "print('out of luck', flush=True)\n\nclass Answer")
    )

    async def use():
        async with PrivateServer(Installation(tree, sys.executable, "test")) as server:
            with server.explained():
                os.killpg(server.process.pid, signal.SIGKILL)
                server.process.wait()
                logs.append(server.log)
                async with Client(server.url, patience=0.2) as client:
                    await client.ready()

    logs = []
    with pytest.raises(ServerUnavailable, match=r"died\.(.|\n)*out of luck"):
        asyncio.run(use())
    logs[0].unlink()


def test_a_silent_server_is_given_up(tree, tmp_path):
    (tree / "main.py").write_text("import signal; signal.pause()")
    server = PrivateServer(
        Installation(tree, sys.executable, "test"), start_timeout=0.5, log=tmp_path / "log"
    )
    with pytest.raises(ServerUnavailable, match="did not answer within"):
        asyncio.run(server.__aenter__())
    assert not server.scratch.exists()


def test_comfyui_is_found_where_the_user_says(tree, monkeypatch):
    found = find_comfyui({"COMFYUI_PATH": str(tree), "COMFYUI_PYTHON": sys.executable})
    assert (found.tree, found.python) == (tree, sys.executable)
    own = tree / ".venv" / "bin" / "python"
    own.parent.mkdir(parents=True)
    own.touch()
    assert find_comfyui({"COMFYUI_PATH": str(tree)}).python == str(own)


def test_comfyui_is_found_in_comfy_clis_workspace(tree, tmp_path, monkeypatch):
    config = tmp_path / "home" / ".config" / "comfy-cli" / "config.ini"
    config.parent.mkdir(parents=True)
    config.write_text(f"[DEFAULT]\ndefault_workspace = {tree}\n")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("instruct_pix2pix.headless.server.PACK", tmp_path)
    found = find_comfyui({})
    assert (found.tree, found.found_by) == (tree, "comfy-cli")


def test_a_wrong_path_is_named(tmp_path):
    with pytest.raises(ComfyUINotFound, match="COMFYUI_PATH"):
        find_comfyui({"COMFYUI_PATH": str(tmp_path)})
    with pytest.raises(ComfyUINotFound, match="COMFYUI_PYTHON"):
        (tmp_path / "comfy").mkdir()
        (tmp_path / "main.py").touch()
        find_comfyui({"COMFYUI_PATH": str(tmp_path), "COMFYUI_PYTHON": "no-such-python"})
