"""Batches on a real ComfyUI: every row once, whatever happens in between."""

import asyncio
import contextlib
import csv
import json
import os
import resource
import shutil
import signal
import sqlite3
import time
from pathlib import Path

import numpy as np
import psutil
import pyarrow.parquet
import pytest
from instruct_pix2pix.headless.asked import Asked
from instruct_pix2pix.headless.batch import Batch, Endpoint
from instruct_pix2pix.headless.keys import key_in
from instruct_pix2pix.headless.ledger import Ledger
from instruct_pix2pix.headless.manifest import read_rows
from instruct_pix2pix.headless.results import plain
from PIL import Image

from .command import finished, in_process, ip2p

TINY = ("--checkpoint", "tiny.safetensors", "--steps", 1)


@pytest.fixture
def work(tmp_path, picture):
    """A manifest of five good rows and three that cannot succeed, and the arguments to run it."""
    manifest = tmp_path / "edits.jsonl"
    rows = [{"image": picture.name, "instruction": f"make it {n}", "seed": n} for n in range(5)]
    rows += [
        {"image": "missing.png", "instruction": "=cmd()"},
        {"image": picture.name, "instruction": "x", "output": "../../escaped.png"},
        {"image": picture.name, "instruction": "x", "text_cfg": -1},
    ]
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    folder = tmp_path / "results"
    return folder, ["batch", manifest, "-o", folder, *TINY]


def ledger(folder):
    with contextlib.closing(sqlite3.connect(folder / "ledger.sqlite")) as db:
        db.row_factory = sqlite3.Row
        return [dict(row) for row in db.execute("SELECT * FROM rows ORDER BY n")]


def wait_for_done(folder, many, process):
    """Until that many results lie in the folder. The ledger itself is locked while a batch runs."""
    deadline = time.monotonic() + 300
    while len(list(folder.glob("photo-*.png"))) < many:
        assert process.poll() is None, finished(process)
        assert time.monotonic() < deadline
        time.sleep(0.05)


def check_all_done(folder):
    rows = ledger(folder)
    good = rows[:5]
    assert [row["state"] for row in good] == ["done"] * 5
    assert [row["completions"] for row in good] == [1] * 5
    for row in good:
        assert key_in(folder / row["output"]) == row["key"]
    assert not list(folder.rglob("*.part"))
    return rows


def test_good_rows_are_done_and_bad_ones_say_why(comfyui, work, tmp_path):
    folder, arguments = work
    code, said = finished(ip2p(*arguments, "--server", comfyui.url))
    assert code == 1, said
    rows = check_all_done(folder)
    assert [row["state"] for row in rows[5:]] == ["failed"] * 3
    assert "no such file" in rows[5]["error"]
    assert "not a name below the output folder" in rows[6]["error"]
    assert "text_cfg: got -1.0; give 0.0 to 100.0" in rows[7]["error"]
    assert not list(tmp_path.parent.rglob("escaped.png"))

    with (folder / "results.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["state"] for row in table] == ["done"] * 5 + ["failed"] * 3
    assert table[5]["instruction"] == "'=cmd()"  # no formula in any spreadsheet
    packed = pyarrow.parquet.read_table(folder / "results.parquet").to_pylist()
    assert [row["output"] for row in packed] == [row["output"] for row in table]
    page = (folder / "contact.html").read_text()
    assert page.count("<tr>") == 9 and "=cmd()" in page

    # Once more: nothing is left to do, and nothing is done again.
    times = [(folder / row["output"]).stat().st_mtime_ns for row in rows[:5]]
    code, said = in_process(*arguments, "--server", comfyui.url, "--json")
    assert json.loads(said)["states"] == {"done": 5, "failed": 3}
    check_all_done(folder)
    assert times == [(folder / row["output"]).stat().st_mtime_ns for row in rows[:5]]


def test_changed_and_lost_rows_are_done_again(comfyui, work, picture):
    folder, arguments = work
    in_process(*arguments, "--server", comfyui.url)
    before = ledger(folder)
    (folder / before[0]["output"]).unlink()
    picture.touch()  # another time, the same content
    in_process(*arguments, "--server", comfyui.url)
    after = ledger(folder)
    assert [row["completions"] for row in after[:5]] == [2, 1, 1, 1, 1]

    Image.fromarray(255 - np.asarray(Image.open(picture))).save(picture)
    in_process(*arguments, "--server", comfyui.url)
    assert [row["completions"] for row in ledger(folder)[:5]] == [3, 2, 2, 2, 2]


@pytest.mark.parametrize(
    ("given", "sentence", "there"),
    [
        (("--checkpoint", "nope"), "Model.checkpoint: the server has no 'nope'", TINY[1]),
        (("--sampler", "nope"), "Sampler.sampler_name: the server has no 'nope'", "among its "),
        (("--preset", "nope"), "Preset.preset: the server has no 'nope'", "weather"),
        (("--set", "Sampler.scheduler=nope"), "Sampler.scheduler: the server has no", "karras"),
        (("--set", "Sampler.steps=2.5"), "Sampler.steps: got 2.5, which is not a whole", "number"),
        (("--set", "Sampler.nope=7"), "Sampler has no input 'nope'; it has ", "image_cfg"),
    ],
)
def test_what_the_server_does_not_have_is_refused_before_any_row_is_queued(
    comfyui, tmp_path, picture, given, sentence, there
):
    manifest = tmp_path / "edits.csv"
    manifest.write_text(f"image,seed\n{picture.name},1\n{picture.name},2\n")
    own = [*TINY, *given] if "--checkpoint" not in given else given
    where = ("-o", tmp_path / "results", "--server", comfyui.url)
    code, said = in_process("batch", manifest, "x", *own, *where)
    assert code == 3 and f"row 1 and 1 more: {sentence}" in said and there in said, said
    assert [row["state"] for row in ledger(tmp_path / "results")] == ["pending"] * 2


def test_all_that_rows_ask_for_in_vain_is_said_at_once(comfyui, tmp_path, picture):
    """A name, an input that only some rows' nodes have, and a value; a good row in between."""
    manifest = tmp_path / "edits.csv"
    manifest.write_text(
        "image,instruction,mask,only,checkpoint,scheduler,Mask.channel,Region.threshold\n"
        f"{picture.name},a,,,nope,,,\n"
        f"{picture.name},b,{picture.name},,,,red,\n"
        f"{picture.name},c,,,,nope,,\n"
        f"{picture.name},d,,yes,,,,9\n"
        f"{picture.name},e,,yes,nope,,,\n"
        f"{picture.name},f,,,nope,,,\n"
    )
    where = ("-o", tmp_path / "results", "--server", comfyui.url)
    code, said = in_process("batch", manifest, *TINY, *where)
    assert code == 3, said
    lines = [f"row {line}" for line in said.split("row ")[1:]]
    assert len(lines) == 4, said
    for line, sentence in zip(
        lines,
        [
            "row 1 and 1 more: Model.checkpoint: the server has no 'nope'; it has ",
            "row 3: Sampler.scheduler: the server has no 'nope'; it has ",
            "row 4: Region.threshold: got 9; give 0 to 1",
            "row 5: Model.checkpoint: the server has no 'nope'; it has ",
        ],
        strict=True,
    ):
        assert line.startswith(sentence)
    assert {row["state"] for row in ledger(tmp_path / "results")} == {"pending"}


def test_a_server_that_lacks_what_a_row_asks_for_leaves_all_rows_to_the_others(
    comfyui, hostile, tmp_path, picture, caplog
):
    loader = {"input": {"required": {"checkpoint": [["other.safetensors"]]}}}
    body = json.dumps({"IP2PLoadCheckpoint": loader}).encode()
    hostile.state.answers["object_info"] = (200, body)
    asked = Asked({"checkpoint": "tiny.safetensors", "steps": 1})

    async def use(client):
        with Ledger(tmp_path / "results" / "ledger.sqlite") as book:
            book.begin_plan(read_rows(tmp_path, "x", asked))
            places = [Endpoint(str(url), {}) for url in (client.server.url, comfyui.url)]
            return await Batch(book, tmp_path / "results", places).run()

    assert hostile(use) == {"done": 1}
    assert "is not used: row 1: Model.checkpoint: the server has no" in caplog.text
    assert not hostile.state.prompts


def test_two_batches_in_one_folder_are_refused(comfyui, work):
    folder, arguments = work
    first = ip2p(*arguments, "--server", comfyui.url)
    wait_for_done(folder, 1, first)
    first.send_signal(signal.SIGSTOP)  # else it may be done before the second has started
    code, said = finished(ip2p(*arguments, "--server", comfyui.url))
    assert code == 3 and "another batch works in this folder" in said
    first.send_signal(signal.SIGCONT)
    finished(first)
    check_all_done(folder)


def test_killed_clients_and_a_killed_server_lose_nothing(comfyui, work):
    """SIGKILL for the client, then for the server, then again for the client: every row once."""
    folder, arguments = work
    first = ip2p(*arguments, "--server", comfyui.url)
    wait_for_done(folder, 1, first)
    first.kill()
    finished(first)

    # A server may take long to come back on a busy machine.
    second = ip2p(*arguments, "--server", comfyui.url, "--patience", 600)
    wait_for_done(folder, 3, second)
    os.killpg(comfyui.process.pid, signal.SIGKILL)
    asyncio.run(comfyui.start())
    wait_for_done(folder, 4, second)
    second.kill()
    finished(second)

    code, said = finished(ip2p(*arguments, "--server", comfyui.url))
    assert code == 1, said
    check_all_done(folder)


def test_a_full_disk_stops_the_batch_and_later_it_goes_on(comfyui, tmp_path):
    """No file may grow beyond what the ledger needs; the results are larger."""
    noise = np.random.default_rng(0).integers(0, 256, (512, 512, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    folder = tmp_path / "results"
    manifest = tmp_path / "edits.csv"
    manifest.write_text("image,instruction\nnoise.png,a\nnoise.png,b\n")
    options = ("--steps", 1, "--checkpoint", "tiny.safetensors", "--server", comfyui.url)
    arguments = ["batch", manifest, "-o", folder, *options]
    small = (200_000, 200_000)
    full = ip2p(*arguments, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, small))
    code, said = finished(full)
    assert code == 7 and "cannot write" in said, said
    assert not list(folder.glob("*.png")) and not list(folder.glob(".*.part"))
    assert {row["state"] for row in ledger(folder)} == {"pending"}

    code, said = in_process(*arguments)
    assert code == 0, said
    assert {row["completions"] for row in ledger(folder)} == {1}


def test_a_link_out_of_the_folder_is_refused(comfyui, work, tmp_path, picture):
    folder, arguments = work
    outside = tmp_path / "outside"
    outside.mkdir()
    folder.mkdir()
    (folder / "link").symlink_to(outside)
    manifest = tmp_path / "edits.jsonl"
    row = {"image": picture.name, "instruction": "x", "output": "link/a.png"}
    manifest.write_text(json.dumps(row))
    code, said = in_process(*arguments, "--server", comfyui.url)
    assert code == 1 and "through a link" in said
    assert not list(outside.iterdir())


def test_without_a_server_that_answers_rows_wait(work):
    folder, arguments = work
    shutil.rmtree(folder, ignore_errors=True)
    code, said = in_process(*arguments, "--server", "http://127.0.0.1:9", "--patience", 1)
    assert code == 4 and "127.0.0.1:9" in said
    assert [row["state"] for row in ledger(folder)[:5]] == ["pending"] * 5


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1"])
def test_no_cell_is_a_formula(text):
    assert plain(text) == "'" + text
    assert plain("make it snow") == "make it snow" and plain(-1.5) == -1.5


def test_rows_of_a_dead_server_go_to_the_other(comfyui, work):
    folder, arguments = work
    servers = ("--server", "http://127.0.0.1:9", "--server", comfyui.url, "--patience", 2)
    code, said = finished(ip2p(*arguments, *servers))
    assert code == 1, said
    check_all_done(folder)


def test_a_private_server_that_dies_is_started_again_and_stopped_at_the_end(tmp_path, picture):
    """Without --server; the server is killed on the way, and its rows are done after all."""
    folder = tmp_path / "results"
    names = [picture.with_name(f"photo-{n}.png") for n in range(3)]
    pixels = np.asarray(Image.open(picture))
    for n, name in enumerate(names):  # each its own, or the server answers from what it has made
        Image.fromarray(np.roll(pixels, n, axis=0)).save(name)
    picture.unlink()
    client = ip2p("batch", tmp_path, "make it snow", "-o", folder, "--steps", 2)
    wait_for_done(folder, 1, client)
    client.send_signal(signal.SIGSTOP)  # else all may be done before the server is found
    (server,) = psutil.Process(client.pid).children()
    scratch = server.cmdline()[3]
    assert Path(scratch).is_dir()
    os.killpg(server.pid, signal.SIGKILL)
    client.send_signal(signal.SIGCONT)
    code, said = finished(client)
    assert code == 0, said
    assert [row["completions"] for row in ledger(folder)] == [1] * 3
    assert "starting it again" in said
    assert not Path(scratch).exists()
    running = psutil.process_iter(["cmdline"])
    assert not [process for process in running if scratch in (process.info["cmdline"] or ())]


def test_a_file_that_is_not_of_this_batch_is_kept(comfyui, work, tmp_path):
    folder, arguments = work
    folder.mkdir()
    mine = folder / "photo-make-it-0.png"
    mine.write_bytes(b"somebody's own")
    arguments = [*arguments, "--server", comfyui.url]
    code, said = in_process(*arguments)
    assert code == 1 and "photo-make-it-0.png is there already" in said
    assert mine.read_bytes() == b"somebody's own"
    # A lost ledger costs nothing: what is there already is known by its metadata.
    (folder / "ledger.sqlite").unlink()
    mine.unlink()
    made = {path.name: path.stat().st_mtime_ns for path in folder.glob("photo-*.png")}
    in_process(*arguments)
    check_all_done(folder)
    assert made == {name: (folder / name).stat().st_mtime_ns for name in made} and len(made) == 4
