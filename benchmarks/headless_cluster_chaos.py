"""Edits on a Ray cluster while clients, workers and servers are killed: is every row done once?

    python benchmarks/headless_cluster_chaos.py     writes benchmarks/headless_cluster_chaos.md

The cluster is this machine, with a GPU that only Ray believes in. `--gpus-per-worker 0.5` places
two workers, each with a ComfyUI of its own and the built-in model. All kills are SIGKILL.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import psutil
import typer
from headless_chaos import count, report, wait_for, write_manifest

EVENTS = ("worker", "server", "client", "server", "worker", "client")
CLUSTER = """
import sys, ray
cluster = ray.init(num_cpus=0, num_gpus=1, include_dashboard=False, log_to_driver=False)
print(cluster.address_info["address"], flush=True)
sys.stdin.read()
"""


def main(
    rows: Annotated[int, typer.Option(help="Edits.")] = 60,
    steps: Annotated[int, typer.Option(help="Sampling steps of each.")] = 4,
) -> None:
    os.environ |= {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "token",
        "RAY_worker_niceness": "0",
    }
    os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    ray = subprocess.Popen(
        [sys.executable, "-c", CLUSTER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert ray.stdout
    address = ray.stdout.readline().strip()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "results"
        command = [
            *(sys.executable, "-c", "from instruct_pix2pix.headless.cli import main; main()"),
            *("batch", str(write_manifest(Path(scratch), rows)), "-o", str(folder)),
            *("--contact", "0", "--steps", str(steps)),
            *("--ray", address, "--gpus-per-worker", "0.5"),
        ]
        began = time.monotonic()
        happened = torment(command, psutil.Process(ray.pid), folder, rows)
        seconds = time.monotonic() - began
        title = f"{rows} edits on two workers of a Ray cluster, through kills"
        report(Path(__file__), title, folder, happened, rows, seconds)
    ray.communicate()


def torment(command: list[str], ray: psutil.Process, folder: Path, rows: int) -> list[str]:
    """Run the batch through all events, evenly spread; what happened, in words."""

    def running(what: str) -> list[psutil.Process]:
        return [p for p in ray.children(recursive=True) if what in " ".join(p.cmdline())]

    happened = []
    client = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    for number, event in enumerate(EVENTS, 1):
        wait_for(folder, rows * number // (len(EVENTS) + 1), client)
        done = count(folder)
        if event == "worker":
            running("ray::Worker")[0].kill()
        elif event == "server":
            os.killpg(running("watchdog.py")[0].pid, signal.SIGKILL)
        else:
            servers = running("watchdog.py")
            client.kill()
            client.wait()
            left = psutil.wait_procs(servers, timeout=60)[1]
            event = f"client; its {len(servers)} servers ended with it, {len(left)} did not"
            client = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        happened.append(f"{event} (at {done} of {rows} files)")
    code = client.wait(3600)
    happened.append(f"last client: exit code {code}")
    left = psutil.wait_procs(running("watchdog.py"), timeout=60)[1]
    happened.append(f"servers left: {len(left)}")
    return happened


if __name__ == "__main__":
    typer.run(main)
