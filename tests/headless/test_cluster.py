"""Batches on a real Ray cluster of this machine, with real servers."""

import asyncio
import json
import os
import pickle
import time
import urllib.request

import psutil
import pytest
from instruct_pix2pix.headless import errors
from instruct_pix2pix.headless.batch import key_in
from instruct_pix2pix.headless.server import PrivateServer

from .command import ROOT, finished, ip2p
from .test_batch import ledger, wait_for_done

ROWS = 12


@pytest.fixture
def environment(tmp_path):
    """One in which the cluster's workers find the package, as if it were installed."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "instruct_pix2pix").symlink_to(ROOT)
    return {**os.environ, "PYTHONPATH": str(tmp_path / "site")}


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
    assert "Sampler: " in rows[ROWS]["error"] and "text_cfg" in rows[ROWS]["error"]
    assert not [process for process in workers if process.is_running()]


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
            failed = issubclass(kind, errors.ExecutionFailed)
            error = kind(*(("Sampler", "ValueError", "text_cfg: -1") if failed else ("why",)))
            copy = pickle.loads(pickle.dumps(error))
            assert type(copy) is kind and str(copy) == str(error) and vars(copy) == vars(error)
