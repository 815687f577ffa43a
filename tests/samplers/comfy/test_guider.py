"""The guider against ComfyUI's own graphs: the same latents, the same hooks, fewer UNet calls."""

from contextlib import nullcontext

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
from instruct_pix2pix.samplers.control import Guidance, Schedule
from torch.overrides import TorchFunctionMode

import nodes as core_nodes

SCALES = [(7.5, 1.5), (7.5, 1.0), (5.0, 5.0), (0.0, 1.5), (1.0, 1.0), (7.5, 0.8)]
SAMPLERS = ["euler", "euler_ancestral", "dpmpp_2m", "heun", "lcm"]
SIZES = [(1, 8, 8), (3, 8, 8), (1, 9, 13), (3, 5, 7)]
# Core computes a branch of weight zero here, and we do not.
DROPPED_BY_US_ALONE = [(5.0, 5.0), (0.0, 1.5)]


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


def half_mask(height=8, width=8):
    mask = torch.zeros(1, 1, height * 8, width * 8)
    mask[..., : width * 4] = 1
    return mask


def test_a_white_mask_equals_no_mask(model, graph):
    masked = graph.source() | {"noise_mask": torch.ones(1, 1, 64, 64)}
    ours = graph.edit(model, masked, sampler_name="euler_ancestral")
    assert torch.equal(ours, graph.edit(model, graph.source(), sampler_name="euler_ancestral"))


@pytest.mark.parametrize("sampler_name", SAMPLERS)
def test_a_black_mask_returns_the_source(model, graph, sampler_name):
    masked = graph.source() | {"noise_mask": torch.zeros(1, 1, 64, 64)}
    samples = graph.edit(model, masked, sampler_name=sampler_name)
    torch.testing.assert_close(samples, masked["samples"], rtol=0, atol=1e-5)


def test_a_mask_keeps_what_is_black_and_edits_what_is_white(model, graph):
    masked = graph.source() | {"noise_mask": half_mask()}
    samples = graph.edit(model, masked)
    torch.testing.assert_close(samples[..., 4:], masked["samples"][..., 4:], rtol=0, atol=1e-5)
    assert (samples[..., :4] - masked["samples"][..., :4]).abs().mean() > 1


def test_denoise_0_returns_the_source(model, graph):
    samples = graph.edit(model, graph.source(), denoise=0.0)
    assert torch.equal(samples, graph.source()["samples"])


def test_less_denoise_stays_nearer_to_the_source(model, graph):
    source = graph.source()["samples"]
    distance = [
        (graph.edit(model, graph.source(), 1.0, 1.0, denoise=denoise) - source).abs().mean()
        for denoise in (0.2, 0.5, 1.0)
    ]
    assert distance == sorted(distance)


def test_the_same_prompt_twice_gives_the_same_latent_and_changes_no_input(model, graph):
    source = graph.source(2) | {"noise_mask": half_mask(), "batch_index": [0, 1]}
    before = {k: v.clone() if torch.is_tensor(v) else list(v) for k, v in source.items()}
    patches = dict(model.object_patches), dict(model.model_options["transformer_options"])
    first = graph.edit(model, source, numerics="official")
    assert torch.equal(first, graph.edit(model, source, numerics="official"))
    assert all(
        torch.equal(source[k], v) if torch.is_tensor(v) else source[k] == v
        for k, v in before.items()
    )
    assert patches == (model.object_patches, model.model_options["transformer_options"])
    assert "concat_latent_image" not in graph.instruction[0][1]


def test_a_batch_equals_its_singles(model, graph):
    batch = graph.source(3)
    together = graph.edit(model, batch, sampler_name="dpmpp_2m")
    for index in range(3):
        single = {"samples": batch["samples"][index : index + 1], "batch_index": [index]}
        alone = graph.edit(model, single, sampler_name="dpmpp_2m")
        assert_close(alone[0], together[index])


@pytest.mark.parametrize("sampler_name", ["dpmpp_2m", "euler_ancestral"])
@pytest.mark.parametrize("size", [(8, 8), (5, 7)])
def test_a_picture_out_of_a_batch_keeps_its_official_noise(model, graph, size, sampler_name):
    """As LatentFromBatch hands it on: the third of three alone, and the third and first again."""
    batch = graph.source(3, *size)
    settings = {"sampler_name": sampler_name, "numerics": "official"}
    together = graph.edit(model, batch, **settings)
    for picked in ([2], [2, 0], [1, 2, 1]):
        some = {"samples": batch["samples"][picked], "batch_index": picked}
        assert_close(graph.edit(model, some, **settings), together[picked])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_models_are_guided_in_float32(model, graph, dtype):
    """Each branch is rounded to half precision, their combination is not."""
    patched = model.clone()
    kinds = []

    def round_off(apply_model, args):
        output = apply_model(args["input"], args["timestep"], **args["c"])
        return output.to(dtype)

    def look(args):
        kinds.append(args["denoised"].dtype)
        return args["denoised"]

    patched.set_model_unet_function_wrapper(round_off)
    patched.set_model_sampler_post_cfg_function(look)
    assert graph.edit(patched, graph.source()).dtype == torch.float32
    assert kinds == [torch.float32] * 3


class Reads(TorchFunctionMode):
    """Notes reads of tensors by the host, but for those copied to it without waiting."""

    def __init__(self):
        super().__init__()
        self.seen, self.copied = [], []

    def __torch_function__(self, function, types, args=(), kwargs=None):
        tensor = torch.Tensor
        if function is tensor.copy_ and (kwargs or {}).get("non_blocking"):
            self.copied.append(args[0])
        elif function in (tensor.item, tensor.tolist, tensor.__bool__, tensor.__float__):
            if not any(args[0] is copied for copied in self.copied):
                self.seen.append(function)
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("curve, reads", [("constant", 0), ("cosine", 2)])
def test_a_step_waits_for_the_device_only_to_find_its_place_in_a_schedule(
    model, graph, curve, reads
):
    """With a region, too: all else is made before the first step."""
    counted, steps = Reads(), []

    def wrapper(executor, *args, **kwargs):
        steps.append(1)
        with counted if len(steps) > 1 else nullcontext():
            return executor(*args, **kwargs)

    patched = model.clone()
    patched.add_wrapper(comfy.patcher_extension.WrappersMP.PREDICT_NOISE, wrapper)
    text = Schedule(curve=curve, final=0.5, outside=0.2)
    guidance = Guidance(text=text, region=torch.ones(1, 64, 64).tril())
    graph.edit(patched, graph.source(), guidance=guidance)
    assert len(counted.seen) == reads


def test_nan_names_the_branch_and_the_step(model, graph):
    steps = []

    def overflow(apply_model, args):
        output = apply_model(args["input"], args["timestep"], **args["c"])
        steps.append(1)
        if len(steps) == 2:
            output[1] = float("nan")
        return output

    patched = model.clone()
    patched.set_model_unet_function_wrapper(overflow)
    message = "model: the image branch .* at step 2 of 3 .* runs in float32, .* weights are damaged"
    with pytest.raises(ValueError, match=message):
        graph.edit(patched, graph.source())


def test_nan_in_half_precision_is_said_to_come_from_it(model, graph):
    patched = model.clone()
    patched.add_object_patch("manual_cast_dtype", torch.float16)
    patched.set_model_unet_function_wrapper(
        lambda apply_model, args: torch.full_like(args["input"], float("inf"))
    )
    message = "model: the instruction and image and uncond branch .* at step 1 of 3 .* half prec"
    with pytest.raises(ValueError, match=message):
        graph.edit(patched, graph.source())


@pytest.mark.parametrize("name", ["instruction", "negative"])
def test_a_word_of_enormous_weight_is_the_cause_and_not_the_precision(model, graph, name):
    enormous = [[1e30 * graph.instruction[0][0], {}]]
    with pytest.raises(ValueError, match=f"{name}: .* numbers up to .*e\\+30, .* ordinary weights"):
        graph.edit(model, graph.source(), **{name: enormous})


def test_a_source_of_nan_is_named(model, graph):
    source = graph.source()
    source["samples"][0, 0, 0, 0] = float("nan")
    with pytest.raises(ValueError, match="source: .* holds NaN or infinite .* --fp32-vae"):
        graph.edit(model, source)


def test_a_latent_that_ran_away_is_named(model, graph):
    patched, steps = model.clone(), []

    def hook(args):
        steps.append(1)
        return args["denoised"] * (float("inf") if len(steps) == 2 else 1)

    patched.set_model_sampler_post_cfg_function(hook)
    with pytest.raises(ValueError, match="at step 3 of 3 .* the sampling ran away: lower text_cfg"):
        graph.edit(patched, graph.source())


@pytest.mark.parametrize(
    "source, message",
    [
        (torch.zeros(1, 4, 8, 8), "all zeros"),
        (torch.ones(1, 16, 8, 8), r"got \(1, 16, 8, 8\)"),
        (torch.ones(1, 4, 1, 8, 8), r"got \(1, 4, 1, 8, 8\)"),
    ],
)
def test_a_source_that_is_no_picture_is_refused(model, graph, source, message):
    with pytest.raises(ValueError, match=f"source: .*{message}"):
        graph.edit(model, {"samples": source})


@pytest.mark.parametrize("name", ["sampler_name", "scheduler", "numerics"])
def test_an_unknown_choice_is_named(model, graph, name):
    with pytest.raises(ValueError, match=f"{name}: got 'nonsense'; choose one of"):
        graph.edit(model, graph.source(), **{name: "nonsense"})


def test_a_guider_alone_keeps_the_callers_model(model, graph):
    guider = DualGuider(model, graph.instruction, graph.negative, graph.source(), 7.5, 1.5)
    assert guider.model_patcher is not model
    assert guider.model_patcher.model is model.model
