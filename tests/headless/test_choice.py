"""Which checkpoint an edit takes where none is named, and what is said of it."""

import asyncio
import csv
import json

import pytest
from instruct_pix2pix.edits.settings import BUILT_IN
from instruct_pix2pix.headless.choice import DRAWINGS, Choice, choose, spelled, word_notes
from PIL import Image
from yarl import URL

from .command import finished, in_process, ip2p


class Elsewhere:
    """What a server on another machine answers, whose files cannot be looked into."""

    url = URL("http://gpu.example.com")

    def __init__(self, *names):
        self.names = names

    async def object_info(self, node):
        loader = {"input": {"required": {"checkpoint": [list(self.names)]}}}
        return {node: loader} if self.names else {}


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        ((BUILT_IN, "sd15.safetensors", "x/instruct-pix2pix-00-22000.ckpt"), 2),
        ((BUILT_IN, "MagicBrush.safetensors", "cosxl_edit.safetensors"), 1),
        ((BUILT_IN, "sd15.safetensors"), 0),
        ((BUILT_IN,), 0),
    ],
)
def test_elsewhere_the_name_tells_an_editor(names, chosen):
    choice = asyncio.run(choose(Elsewhere(*names)))
    assert choice.name == names[chosen]
    assert choice.note == DRAWINGS if chosen == 0 else names[chosen] in choice.note


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("ip2p\\model.ckpt", "ip2p/model.ckpt"),
        ("IP2P/Model.ckpt", "ip2p/model.ckpt"),
        ("ip2p/model.ckpt", "ip2p/model.ckpt"),
        ("TWICE.ckpt", "TWICE.ckpt"),
        ("none.ckpt", "none.ckpt"),
    ],
)
def test_a_name_in_another_spelling_is_taken_where_one_fits(given, taken):
    choice = spelled(given, ["ip2p/model.ckpt", "Twice.ckpt", "twice.ckpt"])
    assert choice.name == taken
    assert bool(choice.note) == (given != taken) and (given in choice.note or given == taken)


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        ("Make her hair BLUE.", ""),
        ("make it snow and add a dragon, dragon!", "dragon"),
        ("don't turn it into a Van Gogh", "Van, Gogh"),
        ("\u8ba9\u5b83\u4e0b\u96ea", "\u8ba9\u5b83\u4e0b\u96ea"),
        ("", ""),
    ],
)
def test_the_words_that_the_built_in_model_does_not_know_are_named(text, unknown):
    notes = word_notes(BUILT_IN, text)
    assert [note.rpartition(": ")[2] for note in notes] == ([unknown] if unknown else [])
    assert word_notes("other.ckpt", text) == ()


def test_an_edit_without_a_checkpoint_takes_the_editor_that_is_there(comfyui, picture, tmp_path):
    target = tmp_path / "out.png"
    options = ("-o", target, "--steps", 1, "--server", comfyui.url)
    code, said = in_process("edit", picture, "make it snow", *options)
    assert code == 0 and "note: editing with the checkpoint tiny.safetensors" in said, said
    prompt = json.loads(Image.open(target).text["prompt"])
    assert prompt["model"]["inputs"]["checkpoint"] == "tiny.safetensors"


def test_a_batch_without_a_checkpoint_keeps_to_its_choice(comfyui, picture, tmp_path):
    folder = tmp_path / "edited"
    arguments = ("batch", picture.parent, "make it snow", "-o", folder, "--steps", 1)
    # Its note is a warning of a log, which pytest takes from a command in this process.
    code, said = finished(ip2p(*arguments, "--server", comfyui.url))
    assert code == 0 and "editing with the checkpoint tiny.safetensors" in said, said
    made = next(folder.glob("*.png"))
    written = made.stat().st_mtime_ns
    (folder / "ledger.sqlite").unlink()  # then the file tells by itself what it is
    code, said = in_process(*arguments, "--server", comfyui.url)
    assert code == 0 and made.stat().st_mtime_ns == written


def test_a_batch_names_the_words_that_its_model_does_not_know(comfyui, picture, tmp_path):
    folder = tmp_path / "edited"
    options = ("--steps", 1, "--checkpoint", BUILT_IN.upper(), "--server", comfyui.url)
    code, said = in_process("batch", picture.parent, "add a dragon", "-o", folder, *options)
    assert code == 0 and "passes over: dragon" in said, said
    with (folder / "results.csv").open(newline="", encoding="utf-8") as file:
        row = next(csv.DictReader(file))
    assert row["notes"].endswith("dragon")
    prompt = json.loads(Image.open(folder / row["output"]).text["prompt"])
    assert prompt["model"]["inputs"]["checkpoint"] == BUILT_IN


def test_where_the_pack_is_missing_it_is_said():
    with pytest.raises(Exception, match="no node IP2PLoadCheckpoint"):
        asyncio.run(choose(Elsewhere()))
    assert Choice("x") == Choice("x", "")
