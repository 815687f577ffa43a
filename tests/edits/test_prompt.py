"""The prompt of one edit, by what its nodes are told; that it runs is tested over HTTP."""

import pytest
from instruct_pix2pix.edits.prompt import edit_prompt
from instruct_pix2pix.edits.settings import SETTINGS
from instruct_pix2pix.nodes.guidance import IP2PGuidance
from instruct_pix2pix.nodes.loading import IP2PLoadCheckpoint

PARTS = {
    "IP2PLoadCheckpoint": "model",
    "IP2PEncodeSource": "encode",
    "IP2PEncodeInstruction": "instruction",
    "IP2PKSampler": "sampler",
    "IP2PRestore": "restore",
}
ANOTHER = {int: 7, float: 0.5, str: "another"}


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)
def test_every_setting_reaches_its_node_and_no_other(setting):
    value = setting.choices[-1] if setting.choices else ANOTHER[setting.kind]
    plain, changed = edit_prompt("a.png", "x"), edit_prompt("a.png", "x", **{setting.name: value})
    part = PARTS[setting.node]
    usual = {"text_cfg": ["model", 4], "image_cfg": ["model", 5]}.get(setting.name, setting.default)
    assert plain[part]["inputs"].pop(setting.name) == usual
    assert changed[part]["inputs"].pop(setting.name) == value
    assert changed[part]["class_type"] == setting.node and changed == plain


def test_a_mask_is_wired_once_and_the_frame_brings_it():
    prompt = edit_prompt("a.png", "x", mask="mask.png")
    assert prompt["mask"]["inputs"]["image"] == "mask.png"
    assert prompt["encode"]["inputs"]["mask"] == ["mask", 0]
    assert "mask" not in prompt["restore"]["inputs"]


def test_the_loader_brings_the_scales_that_are_not_given():
    """Those of the checkpoint's family; by their names, in case outputs are ever added."""
    prompt = edit_prompt("a.png", "x", image_cfg=1.7)
    sampler = prompt["sampler"]["inputs"]
    assert sampler["image_cfg"] == 1.7
    key, output = sampler["text_cfg"]
    assert prompt[key]["class_type"] == "IP2PLoadCheckpoint"
    assert IP2PLoadCheckpoint.define_schema().outputs[output].id == "text_cfg"


def test_a_preset_words_the_instruction_and_brings_the_scales_that_are_not_given():
    prompt = edit_prompt("a.png", "", preset="hair color", value="green", text_cfg=3)
    usual = {"usual_text_cfg": ["model", 4], "usual_image_cfg": ["model", 5]}
    words = {"preset": "hair color", "value": "green", "subject": ""}
    assert prompt["preset"]["inputs"] == words | usual
    assert prompt["instruction"]["inputs"]["instruction"] == ["preset", 0]
    sampler = prompt["sampler"]["inputs"]
    assert (sampler["text_cfg"], sampler["image_cfg"]) == (3.0, ["preset", 2])


def test_only_looks_at_the_whole_picture_and_edits_in_the_found_region():
    prompt = edit_prompt("a.png", "x", only=True, fit="around mask", margin=9)
    region = prompt["region"]["inputs"]
    assert (region["source"], region["frame"]) == (["whole", 0], ["whole", 1])
    assert prompt["whole"]["inputs"]["fit"] == "training size"
    assert "mask" not in prompt["whole"]["inputs"]
    encode, restore = prompt["encode"]["inputs"], prompt["restore"]["inputs"]
    assert (encode["fit"], encode["margin"]) == ("around mask", 9)
    assert encode["mask"] == ["region", 0] and "mask" not in restore


def test_auto_has_no_scales():
    prompt = edit_prompt("a.png", "", preset="age", auto=True, steps=9)
    sampler = prompt["sampler"]
    assert sampler["class_type"] == "IP2PAutoGuidance" and sampler["inputs"]["steps"] == 9
    assert not {"text_cfg", "image_cfg"} & set(sampler["inputs"])
    shown = {scale: prompt[scale]["inputs"]["source"] for scale in ("text_cfg", "image_cfg")}
    assert shown == {"text_cfg": ["sampler", 1], "image_cfg": ["sampler", 2]}  # what was found


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({}, "either an instruction or a preset"),
        ({"instruction": "x", "preset": "age"}, "either an instruction or a preset"),
        ({"instruction": "x", "only": True, "mask": "m.png"}, "either only or mask"),
        ({"instruction": "x", "auto": True, "image_cfg": 1}, "either image_cfg or auto"),
        ({"instruction": "x", "step": 1}, "unknown setting step; known are checkpoint, "),
    ],
)
def test_what_does_not_go_together_is_refused(given, sentence):
    with pytest.raises(ValueError, match=sentence):
        edit_prompt("a.png", **({"instruction": ""} | given))


def test_fast_changes_nothing_of_the_guidance_but_reuse():
    """Every input that must be given has the node's own default."""
    prompt = edit_prompt("a.png", "x", fast=True)
    assert prompt["sampler"]["inputs"]["guidance"] == ["guidance", 0]
    given = {n.id: n.default for n in IP2PGuidance.define_schema().inputs if not n.optional}
    assert prompt["guidance"]["inputs"] == {**given, "reuse": "fast"}
