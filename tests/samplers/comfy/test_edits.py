"""Edits by the node: what a mask and denoise keep, batches, and that nothing is left behind."""

from contextlib import nullcontext

import comfy.patcher_extension
import pytest
import torch
from instruct_pix2pix.samplers.control import Guidance, Schedule
from torch.overrides import TorchFunctionMode

from ..graph import SAMPLERS, assert_close


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
