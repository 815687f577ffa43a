"""Batches on a real Ray cluster of this machine, with real servers."""

import asyncio
import json
import os
import pickle
import subprocess
import sys
import time
import urllib.request

import psutil
import pytest
from instruct_pix2pix.headless import errors
from instruct_pix2pix.headless.keys import key_in
from instruct_pix2pix.headless.server import PrivateServer

from .command import ROOT, finished, ip2p
from .test_batch import ledger, wait_for_done

ROWS = 12


@pytest.fixture
def environment(tmp_path):
    """One in which the cluster's workers find the package, as if it were installed."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "instruct_pix2pix").symlink_to(ROOT)
    ray = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "a" * 64, "RAY_USAGE_STATS_ENABLED": "0"}
    ray["RAY_worker_niceness"] = "0"  # a busy machine is not a failure
    return {**os.environ, **ray, "PYTHONPATH": str(tmp_path / "site")}


@pytest.fixture
def arguments(tmp_path, picture):
    manifest = tmp_path / "edits.jsonl"
    rows = [{"image": picture.name, "instruction": f"make it {n}", "seed": n} for n in range(ROWS)]
    rows += [{"image": picture.name, "instruction": "x", "text_cfg": -1}]
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = ("--steps", 20, "--checkpoint", "tiny.safetensors")
    return ["batch", manifest, "-o", tmp_path / "results", *options]


@pytest.fixture
def second(comfyui):
    server = PrivateServer(arguments=comfyui.arguments)
    try:
        asyncio.run(server.start())
        yield server
    finally:
        server.stop()


CLUSTER = """
import sys, ray
cluster = ray.init(num_cpus=0, num_gpus=1, include_dashboard=False, log_to_driver=False)
print(cluster.address_info["address"], flush=True)
sys.stdin.read()
"""


@pytest.fixture
def cluster(environment):
    """A Ray cluster of one machine with one GPU, as Ray believes; its address and its process."""
    process = subprocess.Popen(
        [sys.executable, "-c", CLUSTER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        yield process.stdout.readline().strip(), psutil.Process(process.pid)
    finally:
        process.communicate()


def worked(server):
    """How many jobs a server has finished."""
    with urllib.request.urlopen(f"{server.url}/history") as answer:
        return len(json.load(answer))


def test_rows_of_a_killed_worker_and_of_a_killed_server_are_done_once(
    comfyui, second, arguments, environment, tmp_path
):
    """Two servers share the rows; a worker is killed and comes again; a server stays dead."""
    before = worked(comfyui)
    servers = ("--server", comfyui.url, "--server", second.url, "--patience", 3)
    client = ip2p(*arguments, *servers, "--ray", "local", env=environment)
    wait_for_done(tmp_path / "results", 2, client)
    workers = [
        process
        for process in psutil.Process(client.pid).children(recursive=True)
        if process.name().startswith("ray::Worker")
    ]
    assert len(workers) == 2
    workers[0].kill()
    while not (worked(comfyui) > before and worked(second)):
        assert client.poll() is None, finished(client)
        time.sleep(0.05)
    second.stop()
    code, said = finished(client)
    assert code == 1, said
    rows = ledger(tmp_path / "results")
    assert [row["state"] for row in rows] == ["done"] * ROWS + ["failed"], said
    assert [row["completions"] for row in rows] == [1] * ROWS + [0]
    assert all(key_in(tmp_path / "results" / row["output"]) == row["key"] for row in rows[:ROWS])
    assert "text_cfg: got -1.0; give 0.0 to 100.0" in rows[ROWS]["error"]
    assert not [process for process in workers if process.is_running()]


def test_a_comfyui_of_the_clusters_own_outlives_every_kill(cluster, environment, picture, tmp_path):
    """A worker has the GPU, and starts a ComfyUI. The client is killed, then the worker."""
    address, ray = cluster
    folder, rows = tmp_path / "results", 6
    manifest = tmp_path / "edits.csv"
    lines = [f"{picture.name},make it {n},{n}\n" for n in range(rows)]
    manifest.write_text("image,instruction,seed\n" + "".join(lines))
    arguments = ("batch", manifest, "-o", folder, "--steps", 6, "--ray", address)

    def running(what):
        return [p for p in ray.children(recursive=True) if what in " ".join(p.cmdline())]

    first = ip2p(*arguments, env=environment)
    wait_for_done(folder, 1, first)
    servers = running("watchdog.py")
    assert len(servers) == 1
    first.kill()
    finished(first)
    assert not psutil.wait_procs(servers, timeout=30)[1]

    second = ip2p(*arguments, env=environment)
    wait_for_done(folder, 3, second)
    (worker,) = running("ray::Worker")
    worker.kill()
    code, said = finished(second)
    assert code == 0, said
    assert [row["completions"] for row in ledger(folder)] == [1] * rows, said
    assert all(key_in(folder / row["output"]) == row["key"] for row in ledger(folder))
    assert not psutil.wait_procs(running("watchdog.py"), timeout=30)[1]


def test_without_ray_it_is_said_what_to_install(arguments, tmp_path):
    (tmp_path / "ray.py").write_text("raise ImportError\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    code, said = finished(ip2p(*arguments, "--ray", "local", env=environment))
    assert code == 3 and "pip install 'instruct-pix2pix[cluster]'" in said


@pytest.mark.parametrize(
    ("address", "code", "words"),
    [
        ("127.0.0.1:9", 4, "no Ray cluster at '127.0.0.1:9'"),
        ("ray://a:10001", 3, "expected HOST:PORT"),
        ("somewhere", 3, "expected HOST:PORT"),
    ],
)
def test_a_cluster_that_is_not_there_is_named(arguments, address, code, words):
    found, said = finished(ip2p(*arguments, "--ray", address))
    assert found == code and words in said and "Traceback" not in said


def test_errors_travel_between_machines():
    for kind in vars(errors).values():
        if isinstance(kind, type) and issubclass(kind, errors.IP2PError):
            told = ("why", 130) if kind is errors.Stopped else ("why",)
            if issubclass(kind, errors.ExecutionFailed):
                told = ("Sampler", "ValueError", "text_cfg: -1")
            error = kind(*told)
            copy = pickle.loads(pickle.dumps(error))
            assert type(copy) is kind and str(copy) == str(error) and vars(copy) == vars(error)
