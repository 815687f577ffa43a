"""What was written for plain CFG acts under dual guidance as in ComfyUI's KSampler."""

import comfy.samplers

# Newer cores import this one and nodes_latent in a circle that works from this side only.
import comfy_extras.nodes_post_processing  # noqa: F401
import pytest
import torch
from comfy_extras.nodes_advanced_samplers import SamplerEulerCFGpp
from comfy_extras.nodes_apg import APG
from comfy_extras.nodes_cfg import CFGNorm, CFGZeroStar
from comfy_extras.nodes_custom_sampler import BasicScheduler, RandomNoise, SamplerCustomAdvanced
from comfy_extras.nodes_eps import EpsilonScaling, TemporalScoreRescaling
from comfy_extras.nodes_fresca import FreSca
from comfy_extras.nodes_latent import (
    LatentApplyOperationCFG,
    LatentOperationSharpen,
    LatentOperationTonemapReinhard,
)
from comfy_extras.nodes_lumina2 import RenormCFG
from comfy_extras.nodes_mahiro import Mahiro
from comfy_extras.nodes_model_advanced import RescaleCFG
from comfy_extras.nodes_pag import PerturbedAttentionGuidance
from comfy_extras.nodes_perpneg import PerpNeg
from comfy_extras.nodes_sag import SelfAttentionGuidance
from comfy_extras.nodes_slg import SkipLayerGuidanceDiTSimple
from comfy_extras.nodes_tcfg import TCFG
from comfy_extras.nodes_video_model import VideoLinearCFGGuidance, VideoTriangleCFGGuidance
from instruct_pix2pix.nodes.sampling import IP2PGuider
from instruct_pix2pix.samplers.control import Guidance, Schedule

from ..graph import assert_close, calls


def operation(made):
    return lambda model, graph: LatentApplyOperationCFG.execute(model, made[0])[0]


# Every node of ComfyUI that hooks in before CFG or in its place, or adds to its result.
ADDING = {
    "LatentApplyOperationCFG tonemap": operation(LatentOperationTonemapReinhard.execute(1.0)),
    "LatentApplyOperationCFG sharpen": operation(LatentOperationSharpen.execute(3, 1.0, 0.5)),
    "SelfAttentionGuidance": lambda model, graph: SelfAttentionGuidance.execute(model, 0.5, 2.0)[0],
    "PerturbedAttentionGuidance": lambda model, graph: PerturbedAttentionGuidance.execute(
        model, 3.0
    )[0],
    "RescaleCFG": lambda model, graph: RescaleCFG().patch(model, 0.7)[0],
    "APG": lambda model, graph: APG.execute(model, eta=0.5, norm_threshold=5.0, momentum=0.0)[0],
    "TCFG": lambda model, graph: TCFG.execute(model)[0],
    "FreSca": lambda model, graph: FreSca.execute(model, 1.0, 1.5, 2)[0],
    "CFGZeroStar": lambda model, graph: CFGZeroStar.execute(model)[0],
    "RenormCFG": lambda model, graph: RenormCFG.execute(model, 100.0, 0.5)[0],
    "PerpNeg": lambda model, graph: PerpNeg.execute(model, graph.negative, 1.0)[0],
    "VideoLinearCFG": lambda model, graph: VideoLinearCFGGuidance().patch(model, 1.0)[0],
    "VideoTriangleCFG": lambda model, graph: VideoTriangleCFGGuidance().patch(model, 1.0)[0],
}
# Those that act on the result as a whole.
WHOLE = {
    "CFGNorm": lambda model, graph: CFGNorm.execute(model, 0.9)[0],
    "Mahiro": lambda model, graph: Mahiro.execute(model)[0],
    "EpsilonScaling": lambda model, graph: EpsilonScaling.execute(model, 1.05)[0],
    "TemporalScoreRescaling": lambda model, graph: TemporalScoreRescaling.execute(model, 0.9, 1.0)[
        0
    ],
}
NODES = ADDING | WHOLE


@pytest.mark.parametrize("text_cfg", [7.5, 1.0])
@pytest.mark.parametrize("name", NODES)
def test_nodes_act_as_on_a_plain_ksampler(model, graph, name, text_cfg):
    """At image_cfg 1 dual guidance is plain CFG, so core's KSampler is the oracle."""
    patched = NODES[name](model, graph)
    plain = graph.plain(patched, graph.source(), text_cfg)
    assert_close(graph.edit(patched, graph.source(), text_cfg, 1.0), plain)
    if text_cfg != 1:
        assert not torch.allclose(plain, graph.plain(model, graph.source()), atol=1e-2)


@pytest.mark.parametrize("name", ADDING)
def test_else_they_act_on_the_difference_of_the_pair(model, graph, name):
    """The term of the picture, (image_cfg - 1) (e1 - e0), is what it is without the node."""
    source = graph.source()
    image, uncond = (graph.edit(model, source, 0.0, scale, steps=1) for scale in (1.0, 0.0))
    patched = ADDING[name](model, graph)
    plain = graph.plain(patched, source, steps=1)
    ours = graph.edit(patched, source, 7.5, 1.5, steps=1)
    assert_close(ours, plain + 0.5 * (image - uncond))


@pytest.mark.parametrize(
    "sampler_name", [name for name in comfy.samplers.SAMPLER_NAMES if name.endswith("cfg_pp")]
)
def test_cfg_pp_samplers_act_as_in_a_plain_ksampler(model, graph, sampler_name):
    """They step along the second of plain CFG's pair, which has the picture.

    Core's DualCFGGuider hands them the branch without picture, so it is not an oracle here.
    """
    source = graph.source()
    plain = graph.plain(model, source, sampler_name=sampler_name)
    assert_close(graph.edit(model, source, 7.5, 1.0, sampler_name), plain)


def test_the_other_cfg_pp_sampler_of_core_acts_as_in_plain_cfg(model, graph):
    sampler = SamplerEulerCFGpp.execute("alternative")[0]
    picture = {"concat_latent_image": graph.source()["samples"]}
    plain = comfy.samplers.CFGGuider(model)
    plain.set_conds(*([[cond[0][0], picture]] for cond in (graph.instruction, graph.negative)))
    plain.set_cfg(7.5)
    ours = IP2PGuider.execute(model, graph.instruction, graph.negative, graph.source(), 7.5, 1.0)[0]
    sampled = [
        SamplerCustomAdvanced.execute(
            RandomNoise.execute(5)[0],
            guider,
            sampler,
            BasicScheduler.execute(model, "normal", 3, 1.0)[0],
            {"samples": torch.zeros(1, 4, 8, 8)},
        )[0]["samples"]
        for guider in (ours, plain)
    ]
    assert_close(*sampled)


@pytest.mark.parametrize("image_cfg", [1.0, 1.5])
def test_a_function_that_replaces_the_batch_is_asked_for_pairs(model, graph, image_cfg):
    """SkipLayerGuidance takes its conditionings apart as a pair; a UNet has no layers to skip."""
    patched = SkipLayerGuidanceDiTSimple.execute(model, 0.0, 1.0, "7", "7")[0]
    ours = graph.edit(patched, graph.source(), 7.5, image_cfg)
    assert_close(ours, graph.edit(model, graph.source(), 7.5, image_cfg))


@pytest.mark.parametrize("image_cfg, branches", [(1.0, 2), (1.5, 3)])
def test_all_hooks_get_one_and_the_same_pair(model, graph, image_cfg, branches):
    pairs = []

    def before(args):
        assert len(args["conds"]) == len(args["conds_out"]) == 2
        pairs.append((*args["conds"], *args["conds_out"]))
        return args["conds_out"]

    def instead(args):
        pairs.append(
            tuple(
                args[name]
                for name in ("input_cond", "input_uncond", "cond_denoised", "uncond_denoised")
            )
        )
        return args["uncond"] + (args["cond"] - args["uncond"]) * args["cond_scale"]

    def after(args):
        pairs.append(
            tuple(args[name] for name in ("cond", "uncond", "cond_denoised", "uncond_denoised"))
        )
        return args["denoised"]

    patched, seen = calls(model)
    patched.set_model_sampler_pre_cfg_function(before)
    patched.set_model_sampler_cfg_function(instead)
    patched.set_model_sampler_post_cfg_function(after)
    ours = graph.edit(patched, graph.source(), 7.5, image_cfg, steps=1)
    assert_close(ours, graph.edit(model, graph.source(), 7.5, image_cfg, steps=1))
    assert [batch for _, batch in seen] == [branches]
    assert len(pairs) == 3
    for pair in pairs[1:]:
        assert pair[0] is pairs[0][0] and pair[1] is pairs[0][1]
        assert torch.equal(pair[2], pairs[0][2]) and torch.equal(pair[3], pairs[0][3])
    cond, uncond = pairs[0][:2]
    assert torch.equal(cond[0]["cross_attn"], graph.instruction[0][0])
    assert torch.equal(uncond[0]["cross_attn"], graph.negative[0][0])
    assert uncond[0]["concat_latent_image"] is not None


def test_hooks_read_the_scale_of_the_step(model, graph):
    """A schedule changes text_cfg; over a region it is not a number, and they read the node's."""
    scales = []

    def hook(args):
        scales.append(args["cond_scale"])
        return args["denoised"]

    patched = model.clone()
    patched.set_model_sampler_post_cfg_function(hook)
    falling = Guidance(text=Schedule(curve="linear", final=0.5))
    graph.edit(patched, graph.source(), 8.0, guidance=falling)
    region = Guidance(text=Schedule(outside=0.5), region=torch.zeros(1, 8, 8))
    graph.edit(patched, graph.source(), 8.0, guidance=region, steps=1)
    assert scales == [8.0, 6.0, 4.0, 8.0]
