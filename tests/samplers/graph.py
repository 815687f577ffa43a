"""The same edit through our nodes and as people wire core's, on one tiny model."""

from types import SimpleNamespace

import comfy.sample

# Newer cores import this one and nodes_latent in a circle that works from this side only.
import comfy_extras.nodes_post_processing  # noqa: F401
import node_helpers
import torch
from comfy_extras.nodes_custom_sampler import (
    BasicScheduler,
    DualCFGGuider,
    KSamplerSelect,
    RandomNoise,
    SamplerCustomAdvanced,
)
from instruct_pix2pix.nodes.sampling import IP2PKSampler

from ..checkpoints.factory import TEXT_WIDTH

# One of each class: a plain step, a step with noise, several steps, a half step, no noise left.
SAMPLERS = ["euler", "euler_ancestral", "dpmpp_2m", "heun", "lcm"]


def conditioning(seed):
    generator = torch.Generator().manual_seed(seed)
    return [[torch.randn(1, 77, TEXT_WIDTH, generator=generator), {}]]


def sampled(model, guider, source, sampler_name="euler", steps=3):
    """Core's SamplerCustomAdvanced as people wire it, from an empty latent of the source's size."""
    return SamplerCustomAdvanced.execute(
        RandomNoise.execute(5)[0],
        guider,
        KSamplerSelect.execute(sampler_name)[0],
        BasicScheduler.execute(model, "normal", steps, 1.0)[0],
        {"samples": torch.zeros_like(source["samples"])},
    )[0]["samples"]


def both_graphs():
    """The same edit as `edit`, through our nodes, and `core`, as people wire core's."""
    instruction, negative = conditioning(1), conditioning(2)

    def source(batch=1, height=8, width=8):
        generator = torch.Generator().manual_seed(3)
        return {"samples": 5.5 * torch.randn(batch, 4, height, width, generator=generator)}

    def edit(model, latent, text_cfg=7.5, image_cfg=1.5, sampler_name="euler", **changes):
        inputs = {"seed": 5, "steps": 3, "scheduler": "normal", "denoise": 1.0}
        inputs |= {"numerics": "comfyui", "instruction": instruction, "negative": negative}
        return IP2PKSampler.execute(
            model,
            source=latent,
            text_cfg=text_cfg,
            image_cfg=image_cfg,
            sampler_name=sampler_name,
            **(inputs | changes),
        )[0]["samples"]

    def core(model, latent, text_cfg=7.5, image_cfg=1.5, sampler_name="euler"):
        picture = {"concat_latent_image": latent["samples"]}
        guider = DualCFGGuider.execute(
            model,
            node_helpers.conditioning_set_values(instruction, picture),
            node_helpers.conditioning_set_values(negative, picture),
            negative,
            text_cfg,
            image_cfg,
            "regular",
        )[0]
        return sampled(model, guider, latent, sampler_name)

    def plain(
        model,
        latent,
        cfg=7.5,
        positive=instruction,
        negative=negative,
        sampler_name="euler",
        steps=3,
    ):
        """Core's KSampler with the picture in both conditionings: dual guidance at image_cfg 1."""
        picture = {"concat_latent_image": latent["samples"]}
        start = torch.zeros_like(latent["samples"])
        return comfy.sample.sample(
            model,
            comfy.sample.prepare_noise(start, 5),
            steps,
            cfg,
            sampler_name,
            "normal",
            node_helpers.conditioning_set_values(positive, picture),
            node_helpers.conditioning_set_values(negative, picture),
            start,
            seed=5,
        )

    return SimpleNamespace(
        instruction=instruction,
        negative=negative,
        source=source,
        edit=edit,
        core=core,
        plain=plain,
    )


def assert_close(actual, expected, tolerance=1e-5):
    """Within `tolerance` of the range: a random network's latents reach into the hundreds."""
    scale = expected.abs().max().item()
    torch.testing.assert_close(actual, expected, rtol=0, atol=tolerance * scale)


def calls(model):
    """A clone of `model` that notes the branch numbers and the batch size of each UNet call."""
    seen = []

    def wrapper(apply_model, args):
        seen.append((args["cond_or_uncond"], len(args["input"])))
        return apply_model(args["input"], args["timestep"], **args["c"])

    patched = model.clone()
    patched.set_model_unet_function_wrapper(wrapper)
    return patched, seen
