"""SDXL InstructPix2Pix and CosXL Edit through the nodes: diffusers' latents, and core's graph."""

import comfy.sample
import comfy.samplers
import numpy as np
import pytest
import torch
from comfy_extras.nodes_custom_sampler import DualCFGGuider
from comfy_extras.nodes_ip2p import InstructPixToPixConditioning
from diffusers import EulerAncestralDiscreteScheduler, EulerDiscreteScheduler
from instruct_pix2pix.checkpoints.loading import load_checkpoint
from instruct_pix2pix.nodes.auto import IP2PAutoGuidance
from instruct_pix2pix.nodes.chain import IP2PEditChain
from instruct_pix2pix.nodes.grid import IP2PGuidanceGrid
from instruct_pix2pix.nodes.pictures import IP2PEncodeSource
from instruct_pix2pix.nodes.region import IP2PEditMask
from instruct_pix2pix.nodes.sampling import IP2PKSampler
from instruct_pix2pix.nodes.text import IP2PEncodeInstruction
from PIL import Image

from ..checkpoints.factory import sd_scheduler
from ..checkpoints.factory_sdxl import (
    cosxl_scheduler,
    sdxl_pipeline,
)

STEPS, SEED, SCALE = 6, 7, 0.13025
TEXT = "make it snow"


def picture(width=64, height=64):
    numbers = np.random.default_rng(3).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(numbers)


def pixels(image):
    return torch.from_numpy(np.asarray(image).astype(np.float32) / 255)[None]


@pytest.fixture(scope="module")
def loaded_sdxl(tmp_path_factory):
    """`loaded_sdxl(cosxl, scheduler)` are the parts of a diffusers folder with that scheduler.

    Of the same weights; not to be changed.
    """
    root, made = tmp_path_factory.mktemp("pipelines"), {}

    def load(cosxl, scheduler):
        key = f"{cosxl}-{type(scheduler).__name__}-{scheduler.config}"
        if key not in made:
            path = root / str(len(made))
            sdxl_pipeline(cosxl=cosxl, scheduler=scheduler).save_pretrained(path)
            made[key] = load_checkpoint(path)
        return made[key]

    return load


def expected_latent(cosxl, scheduler, image, negative):
    pipeline = sdxl_pipeline(cosxl=cosxl, scheduler=scheduler)
    pipeline.set_progress_bar_config(disable=True)
    with torch.no_grad():
        return pipeline(
            TEXT,
            image=image,
            height=image.height,
            width=image.width,
            num_inference_steps=STEPS,
            guidance_scale=5.0,
            image_guidance_scale=1.5,
            negative_prompt=negative,
            generator=torch.Generator("cpu").manual_seed(SEED),
            output_type="latent",
        ).images


def edited(loaded, image, empty_negative, **settings):
    source, _ = IP2PEncodeSource.execute(
        image=pixels(image), vae=loaded.vae, fit="keep size", resolution=64, margin=64
    ).args
    text = IP2PEncodeInstruction.execute(loaded.clip, TEXT, "", "plain", empty_negative).args
    return IP2PKSampler.execute(
        loaded.model,
        *text,
        source,
        seed=SEED,
        steps=STEPS,
        text_cfg=5.0,
        image_cfg=1.5,
        denoise=1.0,
        **settings,
    ).args[0]["samples"]


def euler(**options):
    return sd_scheduler(EulerDiscreteScheduler, **options)


def ancestral(**options):
    return sd_scheduler(EulerAncestralDiscreteScheduler, **options)


CASES = {
    "euler, zeros": (False, euler, "euler", "normal", "official", None, (64, 64)),
    "euler, empty words": (False, euler, "euler", "normal", "official", "", (64, 64)),
    "euler, another aspect": (False, euler, "euler", "normal", "official", None, (128, 64)),
    "ancestral": (False, ancestral, "euler_ancestral", "normal", "official", None, (64, 64)),
    "v-prediction": (
        False,
        lambda: euler(prediction_type="v_prediction"),
        *("euler", "normal", "official", None, (64, 64)),
    ),
    "cosxl, exponential": (
        *(True, cosxl_scheduler, "euler", "exponential", "comfyui", None, (64, 64)),
    ),
    "cosxl, empty words": (
        *(True, cosxl_scheduler, "euler", "exponential", "official", "", (64, 64)),
    ),
    "cosxl, karras": (
        True,
        lambda: cosxl_scheduler("karras"),
        *("euler", "karras", "comfyui", None, (64, 64)),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_latents_are_those_of_diffusers(loaded_sdxl, case):
    cosxl, scheduler, sampler_name, spacing, numerics, negative, size = CASES[case]
    image = picture(*size)
    expected = expected_latent(cosxl, scheduler(), image, negative)
    got = edited(
        loaded_sdxl(cosxl, scheduler()),
        image,
        "zeros" if negative is None else "words",
        sampler_name=sampler_name,
        scheduler=spacing,
        numerics=numerics,
    )
    span = float(expected.max() - expected.min())
    difference = float((got * SCALE - expected).abs().max())
    print(f"{case}: {difference:.2g} of a range of {span:.3g}")
    assert difference < 1e-4 * span


@pytest.mark.parametrize("cosxl", [False, True])
def test_the_other_latent_rule_is_far_off(cosxl):
    """The tolerance above would not hide the wrong rule for the source."""
    scheduler = cosxl_scheduler() if cosxl else euler()
    right = expected_latent(cosxl, scheduler, picture(), "")
    pipeline = sdxl_pipeline(cosxl=cosxl, scheduler=scheduler)
    pipeline.is_cosxl_edit = not cosxl
    with torch.no_grad():
        wrong = pipeline(
            TEXT,
            image=picture(),
            height=64,
            width=64,
            num_inference_steps=STEPS,
            guidance_scale=5.0,
            image_guidance_scale=1.5,
            negative_prompt="",
            generator=torch.Generator("cpu").manual_seed(SEED),
            output_type="latent",
        ).images
    assert float((right - wrong).abs().max()) > 1e-2 * float(right.max() - right.min())


@pytest.mark.parametrize("cosxl", [False, True])
@pytest.mark.parametrize("sampler_name", ["euler", "dpmpp_2m"])
def test_latents_are_those_of_cores_graph_to_the_bit(loaded_sdxl, cosxl, sampler_name):
    loaded = loaded_sdxl(cosxl, cosxl_scheduler() if cosxl else euler())
    text = IP2PEncodeInstruction.execute(loaded.clip, TEXT, "", "plain").args
    image = pixels(picture())
    positive, middle, latent = InstructPixToPixConditioning.execute(*text, image, loaded.vae).args
    (guider,) = DualCFGGuider.execute(
        loaded.model, positive, middle, text[1], 5.0, 1.5, "regular"
    ).args
    noise = comfy.sample.prepare_noise(latent["samples"], SEED)
    sampling = loaded.model.get_model_object("model_sampling")
    expected = guider.sample(
        noise,
        latent["samples"],
        comfy.samplers.sampler_object(sampler_name),
        comfy.samplers.calculate_sigmas(sampling, "normal", STEPS),
        disable_pbar=True,
        seed=SEED,
    )
    got = edited(
        loaded,
        picture(),
        "words",
        sampler_name=sampler_name,
        scheduler="normal",
        numerics="comfyui",
    )
    assert torch.equal(got, expected)


def given(node, **values):
    """The defaults of a node's required inputs, with these in their place where it has them."""
    found = {}
    for slot in node.define_schema().inputs:
        default = getattr(slot, "default", None)
        if slot.id in values:
            found[slot.id] = values[slot.id]
        elif not slot.optional and default is not None:
            found[slot.id] = default
        elif not slot.optional and getattr(slot, "options", None):
            found[slot.id] = slot.options[0]
    return found


@pytest.mark.parametrize("cosxl", [False, True])
@pytest.mark.parametrize("node", [IP2PEditMask, IP2PGuidanceGrid, IP2PAutoGuidance, IP2PEditChain])
def test_every_node_that_samples_takes_these_families(loaded_sdxl, cosxl, node):
    loaded = loaded_sdxl(cosxl, cosxl_scheduler() if cosxl else euler())
    source, frame = IP2PEncodeSource.execute(
        image=pixels(picture()), vae=loaded.vae, fit="keep size", resolution=64, margin=64
    ).args
    instruction, negative = IP2PEncodeInstruction.execute(loaded.clip, TEXT, "", "plain").args
    parts = {"model": loaded.model, "clip": loaded.clip, "vae": loaded.vae}
    parts |= {"source": source, "frame": frame, "instruction": instruction, "steps": 2, "draws": 2}
    if node is not IP2PEditChain:  # which encodes its own texts
        parts["negative"] = negative
    made = node.execute(**given(node, **parts)).args
    latents = [value["samples"] if isinstance(value, dict) else value for value in made]
    tensors = [value for value in latents if torch.is_tensor(value)]
    assert tensors and all(tensor.isfinite().all() for tensor in tensors)
