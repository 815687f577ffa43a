"""`ip2p edit` on a real ComfyUI: its files, its options, and a sentence for everything wrong."""

import asyncio
import csv
import json

import numpy as np
import pytest
from instruct_pix2pix.edits.settings import SETTINGS
from instruct_pix2pix.headless.client import Client
from PIL import Image

from .command import in_process

TINY = ("--checkpoint", "tiny.safetensors", "--steps", 1)


def edit(comfyui, *arguments):
    return in_process("edit", *arguments, *TINY, "--server", comfyui.url)


def prompt_of(path):
    with Image.open(path) as picture:
        if "prompt" in picture.info:
            return json.loads(picture.info["prompt"])
        return json.loads(picture.getexif()[0x0110].removeprefix("prompt:"))


@pytest.fixture
def mask(picture):
    pixels = np.zeros((40, 48), np.uint8)
    pixels[10:20, 10:20] = 255
    path = picture.with_name("mask.png")
    Image.fromarray(pixels).save(path)
    return path


@pytest.mark.parametrize(("suffix", "kind"), [("jpg", "JPEG"), ("webp", "WEBP"), ("png", "PNG")])
def test_the_name_of_the_result_chooses_its_format_and_the_prompt_stays_in_it(
    comfyui, picture, tmp_path, suffix, kind
):
    target = tmp_path / f"out.{suffix}"
    for said_now in (False, True):
        code, said = edit(comfyui, picture, "make it snow", "-o", target)
        assert code == 0 and ("Nothing to do" in said) == said_now, said
    with Image.open(target) as made:
        made.load()
        assert (made.format, made.size) == (kind, (48, 40))
    assert prompt_of(target)["instruction"]["inputs"]["instruction"] == "make it snow"


def test_a_jpeg_shows_what_the_png_shows(comfyui, picture, tmp_path):
    for suffix in ("png", "jpg"):
        edit(comfyui, picture, "make it snow", "-o", tmp_path / f"out.{suffix}")
    png, jpg = (np.asarray(Image.open(tmp_path / f"out.{s}"), int) for s in ("png", "jpg"))
    # The edit of a tiny random model is noise, the hardest picture for a JPEG.
    assert np.abs(png - jpg).mean() < 4


def test_another_edit_is_never_written_over_without_force(comfyui, picture, tmp_path):
    target = tmp_path / "out.png"
    assert edit(comfyui, picture, "make it snow", "-o", target)[0] == 0
    before = target.read_bytes()
    code, said = edit(comfyui, picture, "make it rain", "-o", target)
    assert code == 3 and "is there already" in said and "--force" in said
    assert target.read_bytes() == before
    assert edit(comfyui, picture, "make it rain", "-o", target, "--force")[0] == 0
    assert prompt_of(target)["instruction"]["inputs"]["instruction"] == "make it rain"
    notes = tmp_path / "notes.png"
    notes.write_text("mine")
    assert edit(comfyui, picture, "make it snow", "-o", notes)[0] == 3
    assert notes.read_text() == "mine"


def test_every_setting_reaches_its_node(comfyui, picture, mask, tmp_path):
    """The options that are made from the table, up to the result's own prompt."""
    target = tmp_path / "out.png"
    options = {
        "--fit": "around mask",
        "--margin": 3,
        "--sampler": "euler",
        "--scheduler": "karras",
        "--seed": 5,
        "--text-cfg": 3.5,
        "--image-cfg": 1.25,
        "--denoise": 0.5,
        "--numerics": "official",
        "--negative": "rain",
        "--syntax": "weighted",
        "--weights": "raw",
        "--feather": 2,
        "--match-color": "mean-std",
    }
    given = [word for pair in options.items() for word in pair]
    code, said = edit(comfyui, picture, "x", "-o", target, "--mask", mask, *given)
    assert code == 0, said
    prompt = prompt_of(target)
    by_class = {node["class_type"]: node["inputs"] for node in prompt.values()}
    tried = {setting.name for setting in SETTINGS.values() if setting.option in options}
    assert {"checkpoint", "steps"} == set(SETTINGS) - tried, "which TINY gives"
    for name in tried:
        setting = SETTINGS[name]
        assert by_class[setting.node][name] == options[setting.option], name


def test_only_and_auto_let_the_model_find_region_and_scales(comfyui, picture, tmp_path):
    target = tmp_path / "out.png"
    settings = ("--set", "Sampler.probes=2", "--set", "Region.threshold=0.9")
    code, said = edit(comfyui, picture, "x", "-o", target, "--only", "--auto", *settings)
    assert code == 0, said
    prompt = prompt_of(target)
    assert prompt["sampler"]["class_type"] == "IP2PAutoGuidance"
    assert prompt["sampler"]["inputs"]["probes"] == 2
    assert prompt["region"]["inputs"]["threshold"] == 0.9
    assert prompt["encode"]["inputs"]["mask"] == ["region", 0]


def test_so_many_seeds_are_so_many_files(comfyui, picture, tmp_path):
    options = ("--seeds", 2, "--seed", 7, "--format", "webp")
    code, said = edit(comfyui, picture, "make it snow", "-o", tmp_path / "out", *options)
    assert code == 0, said
    files = sorted((tmp_path / "out").iterdir())
    assert [file.name for file in files] == [
        "photo-make-it-snow-seed-7.webp",
        "photo-make-it-snow-seed-8.webp",
    ]
    assert [prompt_of(file)["sampler"]["inputs"]["seed"] for file in files] == [7, 8]


def test_set_reaches_optional_inputs_that_a_prompt_leaves_out(comfyui, picture, tmp_path):
    """Of a workflow, which holds what its author gave; by a server that knows the node's inputs."""
    workflow = tmp_path / "edit.json"
    target = tmp_path / "out.png"
    assert edit(comfyui, picture, "x", "-o", target)[0] == 0
    prompt = prompt_of(target)
    del prompt["encode"]["inputs"]["margin"]
    workflow.write_text(json.dumps(prompt))
    given = ("--set", "Encode source.margin=9", "--server", comfyui.url)
    code, said = in_process("run", workflow, "-o", tmp_path, *given)
    assert code == 0, said
    assert prompt_of(tmp_path / "edit-result.png")["encode"]["inputs"]["margin"] == 9
    code, said = in_process(
        "run", workflow, "-o", tmp_path, "--set", "Encode source.margn=9", *given[2:]
    )
    assert code == 3 and "has no input 'margn'; it has image, vae, fit, resolution, mask" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["PICTURE", "x", "--checkpoint", "none.safetensors"], "it has ip2p-mini (built-in), "),
        (["PICTURE", "x", "--sampler", "eulr"], "Sampler.sampler_name: the server has no 'eulr'"),
        (["PICTURE", "x", "--scheduler", "fast"], "it has simple, "),
        (["PICTURE", "--preset", "hair", "blue"], "Preset.preset: the server has no 'hair'"),
        (["PICTURE", "x", "--set", "Sampler.steps=0"], "Sampler.steps: got 0; give 1 to 10000"),
        (["PICTURE", "x", "--set", "Sampler.steps=few"], "Sampler.steps: got 'few', which is not"),
        (["PICTURE", "x", "--set", "Restore.mask=m.png"], "Restore.mask is a socket for MASK"),
        (["PICTURE", "x", "--steps", "0"], "steps: got 0; give 1 to 10000."),
        (["PICTURE", "x", "--text-cfg", "-5"], "text_cfg: got -5.0; give 0.0 to 100.0."),
        (["PICTURE", "x", "--fit", "crop"], "choose one of training size, keep size, around mask"),
        (["PICTURE", "x", "--format", "bmp"], "choose one of png, jpg, webp"),
        (["PICTURE", "x", "-o", "out.bmp"], "must end in .png, .jpg, .jpeg, .webp"),
        (["PICTURE", "x", "--seeds", "0"], "--seeds: got 0; give 1 to 1000"),
        (["PICTURE", "x", "y", "-o", "out.png"], "several edits need a folder"),
        (["PICTURE", "x", "--only", "--mask", "m.png"], "leave out either only or mask"),
        (["PICTURE", "x", "--auto", "--text-cfg", "3"], "leave out either text_cfg or auto"),
        (["PICTURE"], 'photo.png: say what to change, such as "make it snow"'),
        (["PICTURE", " "], "the instruction is empty"),
        (["make it snow"], "no picture is given: 'make it snow' is not a file"),
        (["PICTURE", "snow.png"], "snow.png: there is no such file"),
        (["FOLDER", "x"], "is a folder: give it to ip2p batch"),
        (["https://example.com/a.jpg", "x"], "is an address, not a file: download the picture"),
        (["PICTURE", "x", "--mask", "none.png"], "none.png: there is no such file"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_queued(
    comfyui, picture, monkeypatch, arguments, words
):
    monkeypatch.chdir(picture.parent)
    places = {"PICTURE": picture, "FOLDER": picture.parent}
    given = [places.get(word, word) for word in arguments]
    own = () if "--checkpoint" in given else ("--checkpoint", "tiny.safetensors")
    steps = () if "--steps" in given else ("--steps", 1)
    code, said = in_process("edit", *given, *own, *steps, "--server", comfyui.url)
    assert code == 3 and words in said, said
    assert not said.startswith("InputError") and "Traceback" not in said
    assert [path.name for path in picture.parent.iterdir()] == ["photo.png"]


def test_an_address_needs_no_scheme(comfyui, picture, tmp_path):
    server = ("--server", comfyui.url.removeprefix("http://"))
    code, said = in_process("edit", picture, "x", *TINY, "-o", tmp_path / "out.png", *server)
    assert code == 0, said


def test_a_checkpoint_that_came_after_the_first_edit_is_found(comfyui, picture, tmp_path):
    """What the server lists is asked again before a value is refused."""
    folder = comfyui.log.parent

    async def edits():
        async with Client(comfyui.url) as client:
            for name in ("tiny.safetensors", "later.safetensors"):
                if not (folder / name).exists():
                    (folder / name).write_bytes((folder / "tiny.safetensors").read_bytes())
                target = tmp_path / f"{name}.png"
                await client.edit(picture, "x", target, checkpoint=name, steps=1)

    try:
        asyncio.run(edits())
    finally:
        (folder / "later.safetensors").unlink()


def test_what_fast_saves_and_auto_finds_is_told_and_stands_in_the_results(
    comfyui, picture, tmp_path
):
    server = ("--steps", 10, "--checkpoint", "tiny.safetensors", "--server", comfyui.url, "--json")
    fast = ("edit", picture, "make it snow", "-o", tmp_path / "fast.png", "--fast")
    code, said = in_process(*fast, *server)
    saved = {"Sampler": "25 of 30 evaluations run, 5 reused."}
    assert code == 0 and json.loads(said)["edits"][0]["texts"] == saved, said
    rows, folder = tmp_path / "rows.jsonl", tmp_path / "edited"
    # With the first edit's seed the server would still have its latent, and no sampler would run.
    row = {"image": str(picture), "instruction": "make it snow", "seed": 1}
    asked = {"fast": "yes"}, {"auto": "yes", "Sampler.probes": 1, "steps": 2}
    rows.write_text("\n".join(json.dumps(row | how) for how in asked))
    code, said = in_process("batch", rows, "-o", folder, *server)
    assert code == 0, said
    with (folder / "results.csv").open(newline="", encoding="utf-8") as file:
        texts = [json.loads(line["texts"]) for line in csv.DictReader(file)]
    assert texts[0] == saved and sorted(texts[1]) == ["image_cfg", "text_cfg"]
