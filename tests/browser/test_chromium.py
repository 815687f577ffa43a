"""A machine without a browser gets one, or one sentence that says what to do."""

import http.server
import io
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from .chromium import find

PROGRAM = Path(__file__).with_name("chromium.py")


def on_a_bare_machine(folder: Path, host: str) -> subprocess.CompletedProcess[str]:
    """Run the program with an empty PATH and Playwright's downloads from `host` into `folder`."""
    empty = folder / "bin"
    empty.mkdir()
    environ = {
        **os.environ,
        "PATH": str(empty),
        "PLAYWRIGHT_BROWSERS_PATH": str(folder / "browsers"),
        "PLAYWRIGHT_DOWNLOAD_HOST": host,
    }
    return subprocess.run(
        [sys.executable, str(PROGRAM)], env=environ, capture_output=True, text=True, timeout=300
    )


@pytest.fixture
def downloads() -> Iterator[str]:
    """A server of archives laid out as Playwright's, which start the browser of this machine."""
    with sync_playwright() as playwright:
        inside = "/".join(Path(playwright.chromium.executable_path).parts[-2:])

    class Archive(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            data = io.BytesIO()
            with zipfile.ZipFile(data, "w") as archive:
                program = zipfile.ZipInfo(inside)
                program.external_attr = 0o755 << 16
                archive.writestr(program, f'#!/bin/sh\nexec {find()} "$@"\n')
            self.send_response(200)
            self.send_header("Content-Length", str(data.tell()))
            self.end_headers()
            self.wfile.write(data.getvalue())

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Archive)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def test_a_bare_machine_gets_playwrights_browser(tmp_path: Path, downloads: str) -> None:
    done = on_a_bare_machine(tmp_path, downloads)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"Browser: {tmp_path / 'browsers' / 'chromium-'}")
    browser = done.stdout.removeprefix("Browser: ").strip()
    said = subprocess.run([browser, "--version"], capture_output=True, text=True, check=True)
    assert "Chrom" in said.stdout


def test_where_none_can_be_brought_one_sentence_says_what_to_do(tmp_path: Path) -> None:
    done = on_a_bare_machine(tmp_path, "http://127.0.0.1:9")  # nobody listens there
    assert done.returncode == 1
    assert "Chromium or Chrome" in done.stderr and "in PATH" in done.stderr
    assert "Traceback" not in done.stderr
