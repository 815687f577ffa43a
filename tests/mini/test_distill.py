"""The built-in LoRA has learnt the guidance of ip2p-mini, on pairs of the drawn world."""

import json

import numpy as np
import safetensors
import torch
from instruct_pix2pix.checkpoints.lora import load_lora
from instruct_pix2pix.mini import distill
from instruct_pix2pix.mini.distill import RESULT, SETTINGS, WORDINGS, drawn_pairs
from instruct_pix2pix.mini.evaluate import held_out_edits
from instruct_pix2pix.mini.scenes import render
from instruct_pix2pix.nodes.lora import DISTILLED_FILE, IP2PLoadLora, find_lora
from instruct_pix2pix.pairs.pair import open_picture
from instruct_pix2pix.training.base import load_base
from instruct_pix2pix.training.cache import Texts
from instruct_pix2pix.training.network import trainable
from instruct_pix2pix.training.step import guided

from ..training.conftest import random

CPU = torch.device("cpu")


def test_the_file_is_small_and_tells_its_scales():
    assert RESULT == DISTILLED_FILE and RESULT.stat().st_size < 2_000_000
    with safetensors.safe_open(RESULT, framework="pt") as file:
        told = json.loads(file.metadata()["ip2p.distilled"])
    assert told == {"text_cfg": SETTINGS.text_cfg, "image_cfg": SETTINGS.image_cfg}


def test_the_node_lists_it_first_and_finds_it():
    (names,) = (i.options for i in IP2PLoadLora.define_schema().inputs if i.id == "lora_name")
    assert find_lora(names[0]) == RESULT


def test_on_held_out_edits_it_predicts_what_guidance_does():
    """Four noise levels of one edit: of the plain prediction's squared error six tenths or less."""
    base = load_base("ip2p-mini")
    model, _ = load_lora(RESULT, base.model, None, 1.0, 0.0)
    plain, learnt = trainable(base.model, CPU), trainable(model, CPU)
    (edit,) = held_out_edits("clothes", 1)
    pictures = np.stack([render(scene, 256) for scene in (edit.source, edit.target)])
    source, target = base.vae.encode(torch.tensor(pictures) / 255).split(1)
    times = torch.tensor([200, 400, 600, 800])
    alpha, texts = plain.alphas[times].view(-1, 1, 1, 1), Texts(base.clip)
    noisy = alpha.sqrt() * plain.scaled(target) + (1 - alpha).sqrt() * random(4, 4, 32, 32)
    seen = torch.cat([noisy, source.expand(4, -1, -1, -1)], 1)
    asked, null = (texts[text][0] for text in (edit.instruction, ""))
    inputs = seen, times, asked.expand(4, -1, -1), None
    with torch.no_grad():
        wanted = guided(plain, null, None, SETTINGS.text_cfg, SETTINGS.image_cfg)(*inputs)
        lost, left = ((net(*inputs) - wanted).square().mean() for net in (plain, learnt))
    assert left < 0.6 * lost


def test_it_was_taught_on_drawn_pairs_in_several_wordings(monkeypatch):
    monkeypatch.setattr(distill, "SCENES", {"portrait": 2, "landscape": 2, "object": 2})
    for pair in drawn_pairs(4, 64):
        assert len(pair.instructions) == WORDINGS and all(pair.instructions)
        assert open_picture(pair.source).size == open_picture(pair.target).size == (64, 64)
