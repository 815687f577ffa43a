"""The command line against a real ComfyUI: what it writes, prints and ends with."""

import asyncio
import contextlib
import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import time
import urllib.request

import numpy as np
import pytest
import torch
from instruct_pix2pix.edits.presets import PRESETS
from instruct_pix2pix.edits.prompt import node
from instruct_pix2pix.headless import demo
from instruct_pix2pix.headless.client import Client, edit
from instruct_pix2pix.headless.demo import SLUGS
from instruct_pix2pix.headless.doctor import checkpoint, loaded, traps
from instruct_pix2pix.headless.progress import HALF
from instruct_pix2pix.headless.workflow import load_prompt, patched
from PIL import Image

from ..checkpoints.factory import tiny_pipeline
from .command import IP2P, PACK, ROOT, finished, in_process, ip2p

WORKFLOWS = ROOT / "workflows" / "api"
API = [WORKFLOWS / f"{slug}.json" for slug in SLUGS]
TINY = ("--checkpoint", "tiny.safetensors", "--steps", 1)


def test_an_edit_is_saved_at_the_pictures_size_with_its_prompt(comfyui, picture, tmp_path):
    target = tmp_path / "out.png"
    code, said = finished(
        ip2p("edit", picture, "make it snow", "-o", target, *TINY, "--server", comfyui.url)
    )
    assert code == 0 and str(target) in said, said
    edited = Image.open(target)
    assert edited.size == Image.open(picture).size
    prompt = json.loads(edited.text["prompt"])
    assert prompt["instruction"]["inputs"]["instruction"] == "make it snow"


def test_pictures_times_instructions(comfyui, picture, tmp_path):
    other = picture.with_name("other.png")
    other.write_bytes(picture.read_bytes())
    what = (picture, other, "make it snow", "make it rain")
    code, said = in_process(
        "edit", *what, "-o", tmp_path / "out", *TINY, "--json", "--server", comfyui.url
    )
    assert code == 0, said
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "other-make-it-rain.png",
        "other-make-it-snow.png",
        "photo-make-it-rain.png",
        "photo-make-it-snow.png",
    ]
    assert len(json.loads(said)["edits"]) == 4


def test_a_mask_and_a_preset(comfyui, picture, tmp_path):
    """Outside the mask every pixel is the original's; the preset words the instruction."""
    pixels = np.zeros((40, 48), np.uint8)
    pixels[:, 24:] = 255
    mask, target = tmp_path / "mask.png", tmp_path / "out.png"
    Image.fromarray(pixels).save(mask)
    options = ("--preset", "hair color", "green", "--mask", mask, "-o", target)
    code, said = in_process("edit", picture, *options, *TINY, "--server", comfyui.url)
    assert code == 0, said
    before, after = (np.asarray(Image.open(p).convert("RGB")) for p in (picture, target))
    # SaveImage truncates, so a grey level can be lost.
    np.testing.assert_allclose(after[:, :24].astype(int), before[:, :24], atol=1)
    assert np.abs(after[:, 24:].astype(int) - before[:, 24:]).mean() > 5
    assert json.loads(Image.open(target).text["prompt"])["preset"]["inputs"]["value"] == "green"


def test_the_function_for_scripts(comfyui, picture):
    parameters = {"checkpoint": "tiny.safetensors", "steps": 1}
    target = edit(picture, "make it snow", server=comfyui.url, **parameters)
    assert target == picture.with_name("photo-make-it-snow.png")
    assert Image.open(target).size == (48, 40)


@pytest.mark.parametrize("workflow", API, ids=lambda path: path.stem)
def test_every_api_workflow_runs_with_a_picture_of_ones_own(comfyui, workflow, picture, tmp_path):
    settings = ("--set", "Model.checkpoint=tiny.safetensors", "--set", "Sampler.steps=1")
    image = ("--image", f"Source={picture}")
    code, said = in_process(
        "run", workflow, *settings, *image, "-o", tmp_path, "--server", comfyui.url
    )
    assert code == 0, said
    assert Image.open(tmp_path / f"{workflow.stem}-result.png").size == (48, 40)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["edit", "PICTURE"], 3, "say what to change"),
        (["edit", "missing.png", "x"], 3, "missing.png: there is no such file"),
        (["edit", "PICTURE", "x", "--set", "Sampler.sed=1"], 3, "no input 'sed'"),
        (["edit", "PICTURE", "x", "--set", "Samplr.seed=1"], 3, "no node is called 'Samplr'"),
        (["edit", "PICTURE", "x", "--steps", "0"], 3, "steps: got 0; give 1 to 10000"),
        (["edit", "PICTURE", "x", "--checkpoint", "no.safetensors"], 3, "it has ip2p-mini"),
        (["edit", "PICTURE", "x", "--header", "nonsense"], 3, "Name: value"),
        (["edit", "PICTURE", "x", "--steps", "1", "-o", "/dev/null/a.png"], 7, "cannot write"),
        (["run", "missing.json"], 3, "missing.json"),
        (["edit", "--no-such-option"], 2, "no-such-option"),
    ],
)
def test_every_failure_has_its_exit_code_and_one_plain_sentence(
    comfyui, picture, arguments, code, words
):
    given = [str(picture) if a == "PICTURE" else a for a in arguments]
    if "--checkpoint" not in given and given[0] == "edit":
        given += ["--checkpoint", "tiny.safetensors"]
    ended, said = in_process(*given, "--server", comfyui.url)
    assert ended == code and words in said and "Traceback" not in said, said


def test_presets_are_told_with_their_words_and_scales_and_no_comfyui(tmp_path):
    nowhere = {**os.environ, "COMFYUI_PATH": str(tmp_path)}
    code, said = finished(ip2p("presets", env=nowhere))
    assert code == 0, said
    head = said.splitlines().index("hair color")
    assert said.splitlines()[head + 1 : head + 3] == [
        "    change [the] hair color to [blue]",
        "    text_cfg 7.5, image_cfg 1.5. A head large enough to see the hair. A mask of the hair "
        "keeps the face.",
    ]
    code, said = finished(ip2p("presets", "--json", env=nowhere))
    assert [preset["preset"] for preset in json.loads(said)["presets"]] == list(PRESETS)


def test_the_version_is_the_projects():
    project = (ROOT / "pyproject.toml").read_text()
    code, said = finished(ip2p("--version"))
    assert code == 0 and f'version = "{said.split()[-1]}"' in project


def test_help_imports_nothing_that_only_a_running_command_needs():
    """Which was two thirds of its time."""
    slow = ("aiohttp", "asyncio", "PIL", "pyarrow", "ray", "rich", "sqlite3", "yarl")
    code = f"""{PACK}
import atexit
atexit.register(lambda: print([name for name in {slow} if name in sys.modules]))
sys.argv = ["ip2p", *sys.argv[1:]]
from instruct_pix2pix.headless.cli import main
main()
"""
    for command in ([], ["edit"], ["batch"], ["run"], ["doctor"]):
        shown = subprocess.run(
            [sys.executable, "-c", code, str(ROOT), *command, "--help"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert shown.stdout.splitlines()[-1] == "[]", command


def test_every_command_speaks_json(comfyui, picture, tmp_path, monkeypatch):
    """One object on standard output, also for an error, and nothing else anywhere. The demo's own
    prompts, but for their steps."""
    server = ("--json", "--server", comfyui.url)
    for path in API:
        quick = patched(load_prompt(path), {"Sampler.steps": 2})
        (tmp_path / path.name).write_text(json.dumps(quick))
    monkeypatch.setattr(demo, "WORKFLOWS", tmp_path)
    folder = tmp_path / "demo"
    commands = {
        "outputs": ("run", API[0], "--set", "Sampler.steps=1", "-o", tmp_path),
        "sheet": ("demo", "-o", folder),
    }
    for key, command in commands.items():
        code, said = in_process(*command, *server)
        assert code == 0 and json.loads(said)[key], said
    assert sorted(path.stem for path in folder.iterdir()) == sorted([*SLUGS, "before-after"])
    assert {Image.open(folder / f"{slug}.png").size for slug in SLUGS} == {(512, 512)}
    process = ip2p("edit", picture, "x", "--steps", 0, *server)
    out, _ = process.communicate(timeout=600)
    assert process.returncode == 3 and json.loads(out)["error"]["kind"] == "InputError"


@pytest.mark.parametrize(("how", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_command_that_is_stopped_takes_its_job_along(comfyui, picture, tmp_path, how, code):
    def queued():
        with urllib.request.urlopen(f"{comfyui.url}/queue") as answer:
            return sum(json.load(answer).values(), [])

    options = ("--checkpoint", "tiny.safetensors", "--steps", 5000, "-o", tmp_path / "a.png")
    process = ip2p("edit", picture, "make it snow", *options, "--server", comfyui.url)
    deadline = time.monotonic() + 120
    for there in (True, False):
        while bool(queued()) is not there:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        if there:
            process.send_signal(how)
    assert finished(process)[0] == code
    assert not (tmp_path / "a.png").exists()


def test_a_terminal_with_true_color_shows_progress_and_the_preview(comfyui, picture, tmp_path):
    screen, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 120, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    process = subprocess.Popen(
        [
            *(sys.executable, "-c", IP2P, ROOT, "edit", picture, "make it snow"),
            *("-o", tmp_path / "a.png", "--checkpoint", "tiny.safetensors", "--steps", "40"),
            *("--server", comfyui.url),
        ],
        stdout=subprocess.DEVNULL,
        stderr=terminal,
        env=environment,
    )
    os.close(terminal)
    shown = b""
    with contextlib.suppress(OSError):  # which is how the end of a terminal is told
        while data := os.read(screen, 65536):
            shown += data
    os.close(screen)
    assert process.wait(60) == 0
    text = shown.decode()
    assert "make it snow" in text and "/40" in text
    assert text.count(HALF) > 18 * 18 and "\x1b[38;2;" in text


def test_doctor_tells_which_checkpoints_are_ip2p_and_why_others_are_not(comfyui):
    code, said = in_process("doctor", API[0], "--server", comfyui.url, "--json")
    found = {f["what"]: f for f in json.loads(said)["findings"]}
    assert code == 1, "a file that cannot be read is something wrong"
    good = ("server", "pack", "checkpoint tiny.safetensors")
    assert all(found[what]["good"] for what in good), said
    assert (
        "text-to-image checkpoint (its UNet takes 4 channels)"
        in found["checkpoint text-to-image.safetensors"]["message"]
    )
    broken = found["checkpoint broken.safetensors"]
    assert broken["good"] is False and "cannot be read" in broken["message"]


def test_a_server_far_away_tells_by_loading(comfyui):
    async def ask():
        async with Client(comfyui.url) as client:
            return [await loaded(client, f"{name}.safetensors") for name in names]

    names = ("tiny", "text-to-image", "broken")
    tiny, other, broken = asyncio.run(ask())
    assert tiny.good and not other.good and not broken.good
    assert "text-to-image" in other.message and "broken" in broken.message


def test_a_folder_of_diffusers_is_looked_into(tmp_path):
    for channels, good in ((8, True), (4, None)):
        folder = tmp_path / f"model{channels}"
        tiny_pipeline(in_channels=channels).unet.save_pretrained(folder / "unet")
        assert checkpoint("model", folder).good is good
    torch.save({"a": torch.ones(1)}, tmp_path / "a.ckpt", _use_new_zipfile_serialization=False)
    assert "without loading it" in checkpoint("a", tmp_path / "a.ckpt").message
    (tmp_path / "empty.ckpt").touch()
    assert checkpoint("empty", tmp_path / "empty.ckpt").good is False


def test_doctor_knows_the_traps():
    """The mistakes that people publish, in one graph of core nodes."""
    prompt = {
        "scale": node("Scale", "ImageScale", width=1024, height=1024),
        "ip2p": node("IP2P", "InstructPixToPixConditioning", pixels=["scale", 0]),
        "mask": node("Mask", "SetLatentNoiseMask", samples=["ip2p", 2]),
        "guider": node(
            "Guider", "DualCFGGuider", negative=["ip2p", 1], cfg_conds=8.0, cfg_cond2_negative=8.0
        ),
        "plain": node("Plain", "KSampler", positive=["ip2p", 0]),
    }
    found = [f"{f.what}: {f.message}" for f in traps(prompt)]
    for words in (
        "IP2P: works at 1024 x 1024",
        "Mask: masks a latent of zeros",
        "Guider: its negative carries the picture",
        "Guider: guidance 8.0/8.0",
        "Plain: has one scale",
    ):
        assert any(line.startswith(words) for line in found), found
    for workflow in WORKFLOWS.glob("*.json"):
        assert not list(traps(load_prompt(workflow)))
