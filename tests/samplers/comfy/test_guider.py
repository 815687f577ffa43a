"""The guider against ComfyUI's own graphs: the same latents, the same hooks, fewer UNet calls."""

import comfy.cldm.cldm
import comfy.controlnet
import comfy.ops
import comfy.patcher_extension
import comfy.samplers
import comfy.sd
import pytest
import torch
from comfy_extras.nodes_custom_sampler import (
    BasicScheduler,
    KSamplerSelect,
    RandomNoise,
    SamplerCustomAdvanced,
    SplitSigmas,
)
from instruct_pix2pix.nodes.sampling import IP2PGuider
from instruct_pix2pix.samplers.comfy.guider import DualGuider

import nodes as core_nodes

from ..graph import SAMPLERS, assert_close, calls

SCALES = [(7.5, 1.5), (7.5, 1.0), (5.0, 5.0), (0.0, 1.5), (1.0, 1.0), (7.5, 0.8)]
SIZES = [(1, 8, 8), (3, 8, 8), (1, 9, 13), (3, 5, 7)]
# Core computes a branch of weight zero here, and we do not.
DROPPED_BY_US_ALONE = [(5.0, 5.0), (0.0, 1.5)]


@pytest.mark.parametrize("text_cfg, image_cfg", SCALES)
@pytest.mark.parametrize("sampler_name", SAMPLERS)
def test_latents_equal_the_core_graph(model, graph, sampler_name, text_cfg, image_cfg):
    scales = (text_cfg, image_cfg)
    ours = graph.edit(model, graph.source(), *scales, sampler_name)
    core = graph.core(model, graph.source(), *scales, sampler_name)
    if scales in DROPPED_BY_US_ALONE:
        assert_close(ours, core)
    else:
        assert torch.equal(ours, core)


@pytest.mark.parametrize("batch, height, width", SIZES)
def test_latents_equal_the_core_graph_at_any_size(model, graph, batch, height, width):
    source = graph.source(batch, height, width)
    ours = graph.edit(model, source, sampler_name="euler_ancestral")
    assert torch.equal(ours, graph.core(model, source, sampler_name="euler_ancestral"))


@pytest.mark.parametrize(
    "text_cfg, image_cfg, branches",
    [(7.5, 1.5, 3), (7.5, 1.0, 2), (5, 5, 2), (0, 1.5, 2), (1, 1, 1), (0, 1, 1), (0, 0, 1)],
)
def test_one_call_a_step_for_the_branches_that_count(model, graph, text_cfg, image_cfg, branches):
    patched, seen = calls(model)
    graph.edit(patched, graph.source(), text_cfg, image_cfg)
    assert [len(numbers) for numbers, _ in seen] == [branches] * 3
    assert [batch for _, batch in seen] == [branches] * 3


def test_samplers_written_for_plain_cfg_get_all_of_its_pair(model, graph):
    """At equal scales the image branch has no weight, and is what they read."""
    patched, seen = calls(model)
    graph.edit(patched, graph.source(), 5, 5, "euler_ancestral_cfg_pp")
    assert [batch for _, batch in seen] == [3] * 3


def test_attention_patches_see_the_numbers_of_plain_cfg(model, graph):
    """The instruction comes first as 0, what is without instruction is 1, and never a 2."""
    seen = []

    def patch(q, k, v, extra_options):
        seen.append(extra_options["cond_or_uncond"])
        return q, k, v

    patched, around = calls(model)
    patched.set_model_attn1_patch(patch)
    graph.edit(patched, graph.source())
    assert all(numbers == [0, 1, 1] for numbers in seen)
    assert [numbers for numbers, _ in around] == [[0, 1, 1]] * 3, "as does a function around it"


def image_adapter(model):
    """An attention patch that picks from a (cond, uncond) pair, as IP-Adapter does."""

    def patch(n, context, value, extra_options):
        numbers = extra_options["cond_or_uncond"]
        pair = (torch.full_like(value[:1], 0.5), torch.zeros_like(value[:1]))
        each = len(value) // len(numbers)
        added = torch.cat([pair[number].repeat(each, 1, 1) for number in numbers])
        return n, context + added, value + added

    patched = model.clone()
    patched.set_model_attn2_patch(patch)
    return patched


def lora(model):
    key = "diffusion_model.middle_block.1.transformer_blocks.0.attn2.to_v.weight"
    weight = model.model.state_dict()[key]
    generator = torch.Generator().manual_seed(0)
    name = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_v"
    weights = {
        f"{name}.lora_up.weight": torch.randn(weight.shape[0], 2, generator=generator),
        f"{name}.lora_down.weight": torch.randn(2, weight.shape[1], generator=generator),
    }
    patched, _ = comfy.sd.load_lora_for_models(model, None, weights, 1.0, 1.0)
    assert patched.patches, "the LoRA touched nothing"
    return patched


PATCHES = {
    "nothing": lambda model: model,
    "attention patch": image_adapter,
    "LoRA": lora,
}


@pytest.mark.parametrize("name", PATCHES)
def test_patches_act_as_on_a_plain_ksampler(model, graph, name):
    """At image_cfg 1 dual guidance is plain CFG, so core's KSampler is the oracle."""
    patched = PATCHES[name](model)
    plain = graph.plain(patched, graph.source())
    assert_close(graph.edit(patched, graph.source(), 7.5, 1.0), plain)
    if name != "nothing":
        assert not torch.allclose(plain, graph.plain(model, graph.source()), atol=1e-2)
        # And with all three branches the patch still counts.
        both = graph.edit(model, graph.source()), graph.edit(patched, graph.source())
        assert not torch.allclose(*both, atol=1e-2)


def test_controlnet_acts_as_on_a_plain_ksampler(model, graph):
    config = {**model.model.model_config.unet_config, "in_channels": 4, "num_heads": 8}
    del config["out_channels"]
    torch.manual_seed(0)
    net = comfy.cldm.cldm.ControlNet(hint_channels=3, operations=comfy.ops.manual_cast, **config)
    for weight in net.parameters():
        torch.nn.init.normal_(weight, std=0.1)
    control = comfy.controlnet.ControlNet(net, load_device=model.load_device)
    hint = torch.rand(1, 64, 64, 3)
    positive, negative = core_nodes.ControlNetApplyAdvanced().apply_controlnet(
        graph.instruction, graph.negative, control, hint, 1.0, 0.0, 1.0
    )
    plain = graph.plain(model, graph.source(), positive=positive, negative=negative)
    assert not torch.allclose(plain, graph.plain(model, graph.source()), atol=1e-2)
    ours = graph.edit(model, graph.source(), 7.5, 1.0, instruction=positive, negative=negative)
    assert_close(ours, plain)
    three = graph.edit(model, graph.source(), instruction=positive, negative=negative)
    assert not torch.allclose(three, graph.edit(model, graph.source()), atol=1e-2)


@pytest.mark.parametrize("text_cfg", [1.0, 1.0005, 0.999])
def test_a_cfg_function_near_text_cfg_1_keeps_the_pictures_term(model, graph, text_cfg):
    patched = model.clone()
    patched.set_model_sampler_cfg_function(
        lambda args: args["uncond"] + (args["cond"] - args["uncond"]) * args["cond_scale"]
    )
    ours = graph.edit(patched, graph.source(), text_cfg, 1.5)
    assert_close(ours, graph.edit(model, graph.source(), text_cfg, 1.5), 1e-3)


def test_nodes_that_override_the_scale_are_heard(model, graph):
    def wrapper(executor, *args, **kwargs):
        executor.class_obj.cfg = 3.0
        return executor(*args, **kwargs)

    patched = model.clone()
    patched.add_wrapper(comfy.patcher_extension.WrappersMP.PREDICT_NOISE, wrapper)
    ours = graph.edit(patched, graph.source(), 7.5)
    assert torch.equal(ours, graph.edit(model, graph.source(), 3.0))


def test_the_negative_branch_never_sees_the_picture(model, graph):
    """Conditioning that went through core's InstructPixToPixConditioning is set right."""
    wired = [[graph.negative[0][0], {"concat_latent_image": graph.source()["samples"]}]]
    ours = graph.edit(model, graph.source(), negative=wired)
    assert torch.equal(ours, graph.edit(model, graph.source()))


def custom(model, graph, sigmas, latent, sampler_name="dpmpp_2m"):
    """IP2PGuider in core's SamplerCustomAdvanced."""
    guider = IP2PGuider.execute(model, graph.instruction, graph.negative, graph.source(), 7.5, 1.5)[
        0
    ]
    noise, sampler = RandomNoise.execute(5)[0], KSamplerSelect.execute(sampler_name)[0]
    return SamplerCustomAdvanced.execute(noise, guider, sampler, sigmas, latent)[0]["samples"]


@pytest.mark.parametrize("denoise", [1.0, 0.5])
@pytest.mark.parametrize("scheduler", comfy.samplers.SCHEDULER_NAMES)
def test_custom_sampling_equals_the_ksampler(model, graph, scheduler, denoise):
    """With the source wired as latent, whichever scheduler: at denoise 1 it starts from noise."""
    sigmas = BasicScheduler.execute(model, scheduler, 4, denoise)[0]
    ours = graph.edit(
        model,
        graph.source(),
        sampler_name="dpmpp_2m",
        scheduler=scheduler,
        steps=4,
        denoise=denoise,
    )
    assert torch.equal(custom(model, graph, sigmas, graph.source()), ours)
    empty = custom(model, graph, sigmas, {"samples": torch.zeros(1, 4, 8, 8)})
    assert torch.equal(empty, ours) == (denoise == 1)


@pytest.mark.parametrize("scheduler", ["normal", "ddim_uniform"])
def test_the_first_part_of_a_split_run_starts_from_noise_too(model, graph, scheduler):
    sigmas = BasicScheduler.execute(model, scheduler, 5, 1.0)[0]
    first, _ = SplitSigmas.execute(sigmas, 3).args
    wired = custom(model, graph, first, graph.source())
    assert torch.equal(wired, custom(model, graph, first, {"samples": torch.zeros(1, 4, 8, 8)}))


def test_a_guider_alone_keeps_the_callers_model(model, graph):
    guider = DualGuider(model, graph.instruction, graph.negative, graph.source(), 7.5, 1.5)
    assert guider.model_patcher is not model
    assert guider.model_patcher.model is model.model
