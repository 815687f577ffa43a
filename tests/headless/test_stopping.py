"""A command that ends early says how much is done and that the same command goes on."""

import json
import signal
import time

import pytest
from instruct_pix2pix.headless.server import ATTENTION, with_defaults

from .command import finished, in_process, ip2p

SLOW = ("--checkpoint", "tiny.safetensors", "--steps", 60)


@pytest.fixture
def photos(picture):
    folder = picture.parent / "photos"
    folder.mkdir()
    for name in "abcd":
        (folder / f"{name}.png").write_bytes(picture.read_bytes())
    return folder


def stopped_at_one(process, folder, how):
    """How it ends when it is stopped as soon as one picture is there."""
    deadline = time.monotonic() + 300
    while not list(folder.glob("*.png")):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.02)
    process.send_signal(how)
    return finished(process)


@pytest.mark.parametrize(("how", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_batch_tells_its_rows_and_goes_on(comfyui, photos, tmp_path, how, code):
    arguments = ("batch", photos, "x", "-o", tmp_path / "out", *SLOW, "--server", comfyui.url)
    ended, said = stopped_at_one(ip2p(*arguments), tmp_path / "out", how)
    assert ended == code and "of 4 rows are done; the same command goes on" in said, said
    code, said = in_process(*arguments)
    assert code == 0 and "4 done" in said and "of them now" in said, said
    code, said = in_process(*arguments)
    assert code == 0 and said.startswith("Nothing to do: 4 done before"), said
    code, said = in_process(*arguments, "--json")
    assert json.loads(said)["now"] == 0 and json.loads(said)["states"] == {"done": 4}


def test_a_batch_without_its_server_tells_its_rows(photos, tmp_path):
    server = ("--server", "http://127.0.0.1:9", "--patience", 1)
    code, said = in_process("batch", photos, "x", "-o", tmp_path / "out", *server)
    assert code == 4 and "127.0.0.1:9" in said, said
    assert "0 of 4 rows are done; the same command goes on" in said


def test_a_stopped_edit_tells_what_is_done(comfyui, picture, tmp_path):
    arguments = ("edit", picture, "x", "y", "-o", tmp_path / "out", *SLOW)
    process = ip2p(*arguments, "--server", comfyui.url)
    code, said = stopped_at_one(process, tmp_path / "out", signal.SIGINT)
    assert code == 130 and "stopped. 1 of 2 edits are done; the same command goes on" in said, said
    code, said = in_process(*arguments, "--server", comfyui.url)
    assert code == 0 and len(list((tmp_path / "out").iterdir())) == 2, said


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("none", "none: there is no such file or folder"),
        ("empty", "there are no pictures in this folder"),
        ("rows.csv", "there are no rows in this manifest"),
    ],
)
def test_a_batch_of_nothing_is_wrong_input(tmp_path, name, words):
    (tmp_path / "empty").mkdir()
    (tmp_path / "rows.csv").write_text("image,instruction\n")
    where = ("-o", tmp_path / "out", "--server", "127.0.0.1:9")
    code, said = in_process("batch", tmp_path / name, "x", *where)
    assert code == 3 and words in said, said


def test_batch_takes_the_flags_of_edit(comfyui, photos, tmp_path):
    options = ("--seeds", 2, "--only", "--format", "jpg", "--preset", "age", "--subject", "her")
    given = (*options, "--steps", 1, "--checkpoint", "tiny.safetensors", "--sampler", "euler")
    arguments = ("batch", photos, "old", "-o", tmp_path / "out", *given, "--server", comfyui.url)
    code, said = in_process(*arguments)
    assert code == 0 and "8 done" in said, said
    names = {path.name for path in (tmp_path / "out").glob("*.jpg")}
    assert names == {f"{name}-age-old-seed-{seed}.jpg" for name in "abcd" for seed in (0, 1)}


@pytest.mark.parametrize(
    ("given", "cpu", "wanted"),
    [
        ([], False, ["--preview-method", "auto"]),
        ([], True, ["--cpu", ATTENTION[0], "--preview-method", "auto"]),
        (["--cpu"], False, [ATTENTION[0], "--preview-method", "auto", "--cpu"]),
        (["--preview-method=none"], False, ["--preview-method=none"]),
        (["--preview-method", "none"], False, ["--preview-method", "none"]),
        ([ATTENTION[1]], True, ["--cpu", "--preview-method", "auto", ATTENTION[1]]),
    ],
)
def test_serve_adds_what_its_user_did_not_say(given, cpu, wanted):
    assert with_defaults(given, cpu, previews=True) == wanted
