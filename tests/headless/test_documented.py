"""Every command that docs/headless.md marks as tried is given twice, as it stands there."""

import json
import os
import re
import shlex

import numpy as np
import pytest
from instruct_pix2pix.edits.settings import table
from PIL import Image

from .command import ROOT, finished, in_process, ip2p

PAGE = (ROOT / "docs" / "headless.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"<!-- tried -->\n```sh\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = [line for block in BLOCKS for line in block.splitlines() if line.strip()]
QUICK = ("--checkpoint", "tiny.safetensors", "--steps", "1")


@pytest.fixture
def here(picture, tmp_path):
    """A folder with what the commands name."""
    pixels = np.zeros((40, 48), np.uint8)
    pixels[10:30, 10:30] = 255
    Image.fromarray(pixels).save(tmp_path / "hair.png")
    (tmp_path / "photos").mkdir()
    for name in ("photo.jpg", "a.jpg", "b.jpg", "photos/a.jpg", "anna.jpg", "house.jpg"):
        Image.open(picture).save(tmp_path / name)
    rows = re.search(r"```csv\n(.*?)```", PAGE, re.DOTALL)[1]
    (tmp_path / "edits.csv").write_text(rows)
    os.symlink(ROOT / "workflows", tmp_path / "workflows")
    return tmp_path


def test_there_are_commands():
    assert len(COMMANDS) > 10 and all(line.startswith("ip2p ") for line in COMMANDS)


@pytest.mark.parametrize("line", COMMANDS)
def test_a_documented_command_does_the_same_twice(comfyui, here, line, monkeypatch):
    words = shlex.split(line)[1:]
    given = words
    if words[0] in ("edit", "batch"):
        steps = () if "--steps" in words else QUICK[2:]
        given = [*words, *QUICK[:2], *steps]
    if words[0] == "run":
        given = [*words, "--set", "Model.checkpoint=tiny.safetensors", "--set", "Sampler.steps=1"]
    if words[0] != "presets":
        given = [*given, "--server", comfyui.url]
    told = []
    monkeypatch.chdir(here)
    for run in (lambda *words: finished(ip2p(*words)), in_process):
        code, said = run(*given, "--json")
        # The tests' server has a broken checkpoint, which the doctor must find.
        assert code == (1 if words[0] == "doctor" else 0), said
        told.append(json.loads(said))
        files = {path: path.read_bytes() for path in here.rglob("*") if path.suffix == ".png"}
        if len(told) == 1:
            first = files
    assert files.keys() == first.keys()
    assert [sorted(answer) for answer in told[:1]] == [sorted(answer) for answer in told[1:]] or (
        words[0] == "edit" and told[1]["now"] == 0
    )


def test_the_table_of_settings_is_that_of_the_code():
    found = re.search(r"<!-- settings -->\n(.*?)<!-- end of settings -->", PAGE, re.DOTALL)
    assert found[1] == table(), "run make texts"
