"""Distillation of guidance: what is learnt is what the guider predicts, in one evaluation."""

import json

import comfy.samplers
import pytest
import safetensors
import torch
from instruct_pix2pix.checkpoints.loading import load_checkpoint
from instruct_pix2pix.checkpoints.lora import load_lora
from instruct_pix2pix.nodes.sampling import IP2PGuider
from instruct_pix2pix.nodes.text import IP2PEncodeInstruction
from instruct_pix2pix.training.base import load_base
from instruct_pix2pix.training.network import trainable
from instruct_pix2pix.training.result import write_result
from instruct_pix2pix.training.settings import RunError, settings_from
from instruct_pix2pix.training.step import guided

from ..checkpoints.factory import tiny_checkpoint
from ..checkpoints.factory_sd21 import sd21_checkpoint
from ..checkpoints.factory_sdxl import sdxl_checkpoint
from ..pairs.layouts import made
from .conftest import random
from .runs import run
from .test_run import final, same

CPU = torch.device("cpu")
FORMATS = {
    "noise": (tiny_checkpoint, "raw.safetensors"),
    "velocity": (sd21_checkpoint, "sd21.velocity.diffusers"),
    "SDXL": (sdxl_checkpoint, "sdxl.safetensors"),
}


def distilling(folder, loaded, **changes):
    return run(folder, loaded, **{"distill": True, "dropout": 0.0, "kind": "lora"} | changes)


def by_guider(loaded, net, batch, instruction, scales):
    """The guided prediction of each row, from one step of ComfyUI's sampler down to no noise."""
    texts = IP2PEncodeInstruction.execute(loaded.clip, instruction, "", "plain").args
    sampling = loaded.model.get_model_object("model_sampling")
    rows = zip(batch.target, batch.source, batch.noise, batch.times.tolist(), strict=True)
    for target, source, noise, time in rows:
        sigmas = torch.stack([sampling.sigmas[time], torch.tensor(0.0)])
        guider = IP2PGuider.execute(loaded.model, *texts, {"samples": source[None]}, *scales)[0]
        start = net.base.latent_format.process_out(target[None])
        euler = comfy.samplers.sampler_object("euler")
        latent = guider.sample(noise[None], start, euler, sigmas, seed=0)
        clean = net.base.latent_format.process_in(latent)
        alpha = net.alphas[time]
        noisy = alpha.sqrt() * target + (1 - alpha).sqrt() * noise
        eps = (noisy - alpha.sqrt() * clean) / (1 - alpha).sqrt()
        velocity = alpha.sqrt() * eps - (1 - alpha).sqrt() * clean
        yield eps if net.prediction == "eps" else velocity


@pytest.mark.parametrize(
    ("kind", "scales"),
    [
        *(("noise", scales) for scales in ((7.5, 1.5), (5.0, 1.0), (3.0, 3.0))),
        ("velocity", (7.5, 1.5)),
        ("SDXL", (7.5, 1.5)),
    ],
)
def test_what_is_learnt_is_what_the_guider_predicts(kind, scales, tmp_path):
    """Through the node, its sampler and core's call of the network. 1e-4 of the largest."""
    writer, name = FORMATS[kind]
    loaded = load_checkpoint(writer(tmp_path, name))
    instruction = "turn it blue"
    started = distilling(
        tmp_path / "run", loaded, pairs=made(1), batch_size=3,
        text_cfg=scales[0], image_cfg=scales[1],
    )  # fmt: skip
    batch, net = started.batches.at(0, 0), started.net
    assert net.prediction == ("v" if kind == "velocity" else "eps")
    assert (batch.vector is not None) == (kind == "SDXL")
    wanted = torch.cat(list(by_guider(loaded, net, batch, instruction, scales)))
    with torch.no_grad():
        alone = guided(started.weights.teacher, batch.null_text, batch.null_vector, 1.0, 1.0)
        alpha = net.alphas[batch.times].view(-1, 1, 1, 1)
        noisy = alpha.sqrt() * batch.target + (1 - alpha).sqrt() * batch.noise
        own = alone(torch.cat([noisy, batch.source], 1), batch.times, batch.text, batch.vector)
        # The LoRA is nothing yet, so what it has to learn is the whole of the guidance.
        found = started.errors(batch).sqrt()
    expected = (own - wanted).abs()
    assert expected.max() > 0.1, "the guidance changes something"
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4 * float(wanted.abs().max()))


@pytest.mark.parametrize("kind", ["lora", "full"])
def test_at_scales_of_one_there_is_nothing_to_learn(kind, tmp_path, checkpoint):
    started = distilling(tmp_path, checkpoint, kind=kind, text_cfg=1.0, image_cfg=1.0)
    for step in range(3):
        assert not started.errors(started.batches.at(step, 0)).any()


@pytest.mark.parametrize("kind", ["lora", "full"])
def test_a_step_brings_it_nearer_to_what_it_was_shown(kind, tmp_path, checkpoint):
    started, seen = distilling(tmp_path, checkpoint, kind=kind, steps=3, learning_rate=1e-4), []

    def look(progress):
        batch = started.batches.at(progress.step - 1, 0)
        seen.append((progress.loss, float(started.errors(batch).detach().mean())))
        assert not progress.branches, "nothing is dropped"

    started.train(look)
    assert len(seen) == 3
    for before, after in seen:
        assert after < before


def test_a_run_in_two_halves_is_one_run(tmp_path, checkpoint):
    distilling(tmp_path / "whole", checkpoint, steps=4).train()
    distilling(tmp_path / "halves", checkpoint, steps=2).train()
    distilling(tmp_path / "halves", checkpoint, steps=4).train()
    same(final(tmp_path / "whole"), final(tmp_path / "halves"))


def test_a_lora_tells_at_which_scales_it_was_distilled(tmp_path, checkpoint, caplog):
    started = distilling(tmp_path, checkpoint, steps=1, text_cfg=6.0, image_cfg=1.25)
    started.train()
    parts = checkpoint.model, checkpoint.clip, checkpoint.vae
    path = write_result(tmp_path, started.weights, *parts, 64)
    with safetensors.safe_open(path, framework="pt") as file:
        told = json.loads(file.metadata()["ip2p.distilled"])
    assert told == {"text_cfg": 6.0, "image_cfg": 1.25}
    with caplog.at_level("INFO"):
        load_lora(path, checkpoint.model, None, 1.0, 1.0)
    assert "Sample at text_cfg 1 and image_cfg 1" in caplog.text


def test_a_whole_checkpoint_that_was_distilled_hands_out_scales_of_one(tmp_path, checkpoint):
    started = distilling(tmp_path, checkpoint, kind="full", steps=1)
    started.train()
    parts = checkpoint.model, checkpoint.clip, checkpoint.vae
    loaded = load_checkpoint(write_result(tmp_path, started.weights, *parts, 64))
    assert (loaded.text_cfg, loaded.image_cfg) == (1.0, 1.0)
    assert (checkpoint.text_cfg, checkpoint.image_cfg) == (7.5, 1.5)
    inputs = random(1, 8, 8, 8), torch.tensor([500]), started.batches.texts["turn it blue"][0], None
    with torch.no_grad(), started.weights.averaged():
        expected, found = started.net(*inputs), trainable(loaded.model, CPU)(*inputs)
    # The file is in fp16.
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-2 * float(expected.abs().max()))


@pytest.mark.parametrize("name", ["dropout", "keep"])
def test_nothing_is_dropped_or_kept_beside_it(name):
    assert settings_from({"distill": True}).dropout == 0
    with pytest.raises(RunError, match=f"{name}: got 0.1, with distill.*set {name} to 0"):
        settings_from({"distill": True, name: 0.1})


def test_a_model_without_a_source_has_no_guidance_to_learn(tmp_path):
    base = load_base("ip2p-mini-text-to-image")
    with pytest.raises(RunError, match="distill: this base has never seen a picture"):
        distilling(tmp_path, base, resolution=64)
