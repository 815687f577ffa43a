"""Two hundred edits while the server, the client and the disk fail: is every row done once?

    python benchmarks/headless_chaos.py         writes benchmarks/headless_chaos.md

A real ComfyUI runs the rows of `ip2p batch` on ip2p-mini. On the way the server is killed and
started again three times, the client is killed twice and started again, and the disk that the
results go to is full once. That disk is a small file system in memory, which wants root; elsewhere
the event is left out. All kills are SIGKILL.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from instruct_pix2pix.headless.keys import key_in
from instruct_pix2pix.headless.server import PrivateServer

SCENES = 8
EVENTS = ("server", "client", "disk", "server", "client", "server")


def main(
    rows: Annotated[int, typer.Option(help="Edits.")] = 200,
    steps: Annotated[int, typer.Option(help="Sampling steps of each.")] = 1,
    checkpoint: Annotated[str, typer.Option(help="With which model.")] = "ip2p-mini (built-in)",
    extra: Annotated[str, typer.Option(help="An extra_model_paths file for ComfyUI.")] = "",
) -> None:
    with tempfile.TemporaryDirectory() as scratch, mounted(Path(scratch) / "disk") as small:
        manifest = write_manifest(Path(scratch), rows)
        folder = Path(scratch) / "disk" / "results"
        command = [
            *(sys.executable, "-c", "from instruct_pix2pix.headless.cli import main; main()"),
            *("batch", str(manifest), "-o", str(folder), "--contact", "0"),
            *("--steps", str(steps), "--checkpoint", checkpoint),
        ]
        arguments = ["--extra-model-paths-config", extra] if extra else []
        server = PrivateServer(arguments=arguments)
        try:
            asyncio.run(server.start())
            began = time.monotonic()
            command += ["--server", server.url, "--patience", "180"]
            happened = torment(command, server, folder, rows, small)
            title = f"{rows} edits through kills and a full disk"
            report(Path(__file__), title, folder, happened, rows, time.monotonic() - began)
        finally:
            server.stop()


def torment(
    command: list[str], server: PrivateServer, folder: Path, rows: int, small: bool
) -> list[str]:
    """Run the batch through all events, evenly spread; what happened, in words."""
    happened = []
    client = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    for number, event in enumerate(EVENTS, 1):
        at = rows * number // (len(EVENTS) + 1)
        wait_for(folder, at, client)
        done = count(folder)
        if event == "server":
            assert server.process
            os.killpg(server.process.pid, signal.SIGKILL)
            asyncio.run(server.start())
        elif event == "client":
            client.kill()
            client.wait()
            client = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        elif small:
            ballast = folder.parent / "ballast"
            with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
                while True:
                    file.write(bytes(4096))
            code = client.wait(600)
            event = f"disk full: the client ended with exit code {code}; restarted with free space"
            ballast.unlink()
            client = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        else:
            continue
        happened.append(f"{event} (at {done} of {rows} files)")
    code = client.wait(3600)
    happened.append(f"last client: exit code {code}")
    return happened


def report(
    program: Path, title: str, folder: Path, happened: list[str], rows: int, seconds: float
) -> None:
    """Write what became of the rows beside the program; ends it if one was lost or done twice."""
    with contextlib.closing(sqlite3.connect(folder / "ledger.sqlite")) as db:
        integrity = db.execute("PRAGMA integrity_check").fetchone()[0]
        db.row_factory = sqlite3.Row
        found = [dict(row) for row in db.execute("SELECT * FROM rows")]
    states = Counter(row["state"] for row in found)
    times = Counter(row["completions"] for row in found)
    whole = sum(key_in(folder / row["output"]) == row["key"] for row in found)
    parts = len(list(folder.rglob("*.part")))
    kills = "\n".join(f"{n}. {what}" for n, what in enumerate(happened, 1))
    text = f"""# Headless: {title}

`python benchmarks/{program.name}` on {platform.processor() or platform.machine()},
{os.cpu_count()} CPU cores, Python {platform.python_version()}: {seconds:.0f} s in all.

{kills}

| | |
| --- | --- |
| rows | {rows} |
| rows by state | {dict(states)} |
| rows by times completed | {dict(times)} |
| files that are whole and made from their row's own inputs | {whole} |
| unfinished files left | {parts} |
| SQLite's integrity check of the ledger | {integrity} |
"""
    print(text)
    if states == {"done": rows} and times == {1: rows} and whole == rows and not parts:
        program.with_suffix(".md").write_text(text)
    else:
        raise SystemExit("some rows were lost or done twice")


def write_manifest(folder: Path, rows: int) -> Path:
    """Rows over a few pictures, each with a seed of its own."""
    from PIL import Image

    for scene in range(SCENES):
        Image.new("RGB", (128, 128), (30 * scene, 90, 255 - 30 * scene)).save(
            folder / f"scene{scene}.png"
        )
    manifest = folder / "edits.csv"
    lines = [f"scene{n % SCENES}.png,make it snow,{n}" for n in range(rows)]
    manifest.write_text("image,instruction,seed\n" + "\n".join(lines) + "\n")
    return manifest


@contextlib.contextmanager
def mounted(folder: Path):
    """A file system of 32 MiB in memory, where the system lets us; whether it did."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(folder)]
    small = os.name == "posix" and subprocess.run(mount, capture_output=True).returncode == 0
    try:
        yield small
    finally:
        if small:
            subprocess.run(["umount", "-l", str(folder)], check=True)


def count(folder: Path) -> int:
    return len(list(folder.glob("scene*.png"))) if folder.is_dir() else 0


def wait_for(folder: Path, many: int, client: subprocess.Popen[bytes]) -> None:
    while count(folder) < many:
        if client.poll() is not None:
            raise SystemExit(f"the client ended early, with {client.returncode}")
        time.sleep(0.1)


if __name__ == "__main__":
    typer.run(main)
