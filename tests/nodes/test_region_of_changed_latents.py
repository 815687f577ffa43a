"""The region of a picture whose latent went through nodes of ComfyUI: right, or refused."""

from dataclasses import replace

# Newer cores import this one and nodes_latent in a circle that works from this side only.
import comfy_extras.nodes_post_processing  # noqa: F401
import pytest
import torch
from comfy_extras import nodes_latent, nodes_mask, nodes_rebatch
from instruct_pix2pix.nodes.region import IP2PEditMask
from instruct_pix2pix.pictures.frame import fit_keep_size

import nodes as core_nodes

SETTINGS = {
    "seed": 1,
    "method": "relevance",
    "noise_level": 0.8,
    "draws": 2,
    "threshold": 0.5,
    "grow": 0,
    "blur": 0,
}


pytestmark = pytest.mark.usefixtures("inference_mode")


@pytest.fixture
def pictures():
    return torch.rand(3, 64, 64, 3, generator=torch.Generator().manual_seed(0))


def frame_of(pictures, latents):
    return replace(fit_keep_size(pictures), latents=latents)


def core(node, *inputs, **named):
    """The first output of a node of ComfyUI, of either kind."""
    if hasattr(node, "execute"):
        return node.execute(*inputs, **named).args[0]
    return getattr(node(), node.FUNCTION)(*inputs, **named)[0]


def picked(samples, rows):
    """What LatentFromBatch, RepeatLatentBatch and LatentBatch make, one row after the other."""
    latent = core(core_nodes.LatentFromBatch, samples, rows[0], 1)
    for row in rows[1:]:
        latent = core(
            nodes_latent.LatentBatch, latent, core(core_nodes.LatentFromBatch, samples, row, 1)
        )
    return latent


SAME_PICTURES = {
    "LatentFromBatch": (
        lambda s: core(core_nodes.LatentFromBatch, s, 1, 1),
        [1],
    ),
    "LatentFromBatch, two": (lambda s: core(core_nodes.LatentFromBatch, s, 1, 2), [1, 2]),
    "LatentFromBatch twice": (
        lambda s: core(core_nodes.LatentFromBatch, core(core_nodes.LatentFromBatch, s, 1, 2), 1, 1),
        [2],
    ),
    "RepeatLatentBatch": (
        lambda s: core(core_nodes.RepeatLatentBatch, s, 2),
        [0, 1, 2, 0, 1, 2],
    ),
    # Here batch_index says 1 and 2, for noises of their own.
    "LatentFromBatch, RepeatLatentBatch": (
        lambda s: core(core_nodes.RepeatLatentBatch, picked(s, [1]), 2),
        [1, 1],
    ),
    "RebatchLatents": (lambda s: core(nodes_rebatch.LatentRebatch, [s], [2])[0], [0, 1]),
    "RebatchLatents, second": (lambda s: core(nodes_rebatch.LatentRebatch, [s], [2])[1], [2]),
    "LatentBatch": (lambda s: picked(s, [2, 0]), [2, 0]),
    "LatentBatchSeedBehavior": (
        lambda s: core(nodes_latent.LatentBatchSeedBehavior, s, "fixed"),
        [0, 1, 2],
    ),
    "SetLatentNoiseMask": (
        lambda s: core(core_nodes.SetLatentNoiseMask, s, torch.ones(1, 64, 64)),
        [0, 1, 2],
    ),
    "LatentCrop to the same": (
        lambda s: core(core_nodes.LatentCrop, s, 64, 64, 0, 0),
        [0, 1, 2],
    ),
}


@pytest.mark.parametrize("name", SAME_PICTURES)
def test_each_picture_gets_its_own_region(model, graph, pictures, name):
    """As if these very pictures had been encoded, in this order."""
    change, rows = SAME_PICTURES[name]
    source = graph.source(3)
    frame = frame_of(pictures, source["samples"])
    conds = graph.instruction, graph.negative
    changed = IP2PEditMask.execute(model, *conds, change(source), **SETTINGS, frame=frame)
    latents = source["samples"][rows]
    own = frame_of(pictures[rows], latents)
    alone = IP2PEditMask.execute(model, *conds, {"samples": latents}, **SETTINGS, frame=own)
    for ours, expected in zip(changed.args, alone.args, strict=True):
        assert torch.equal(ours, expected)
    assert changed.ui.as_dict() == alone.ui.as_dict()
    assert len({picture.mean().item() for picture in changed.args[1]}) >= len(set(rows))


def test_many_copies_of_one_picture_share_its_original(model, graph, pictures):
    source = graph.source(1)
    frame = frame_of(pictures[:1], source["samples"])
    four = core(core_nodes.RepeatLatentBatch, source, 4)
    conds = graph.instruction, graph.negative
    mask, heatmap = IP2PEditMask.execute(model, *conds, four, **SETTINGS, frame=frame).args
    assert mask.shape == (4, 64, 64) and heatmap.shape == (4, 64, 64, 3)


def blended(kind):
    return lambda s: core(getattr(nodes_latent, kind), s, picked(s, [1]))


OTHER_PICTURES = {
    "LatentCrop": lambda s: core(core_nodes.LatentCrop, s, 32, 32, 0, 0),
    "LatentUpscale": lambda s: core(
        core_nodes.LatentUpscale, s, "nearest-exact", 128, 64, "disabled"
    ),
    "LatentUpscaleBy": lambda s: core(core_nodes.LatentUpscaleBy, s, "nearest-exact", 1.5),
    "LatentFlip": lambda s: core(core_nodes.LatentFlip, s, "y-axis: horizontally"),
    "LatentRotate": lambda s: core(core_nodes.LatentRotate, s, "90 degrees"),
    "LatentComposite": lambda s: core(
        core_nodes.LatentComposite, s, picked(s, [1]), x=32, y=0, feather=0
    ),
    "LatentCompositeMasked": lambda s: core(
        nodes_mask.LatentCompositeMasked,
        s,
        source=core(core_nodes.LatentFlip, s, "x-axis: vertically"),
        x=0,
        y=0,
        resize_source=False,
    ),
    "LatentBlend": lambda s: core(core_nodes.LatentBlend, s, picked(s, [1]), 0.5),
    "LatentAdd": blended("LatentAdd"),
    "LatentSubtract": lambda s: core(
        nodes_latent.LatentSubtract, s, core(core_nodes.LatentFlip, s, "x-axis: vertically")
    ),
    "LatentMultiply": lambda s: core(nodes_latent.LatentMultiply, s, 0.5),
    "LatentInterpolate": lambda s: core(
        nodes_latent.LatentInterpolate, picked(s, [0]), picked(s, [1]), 0.5
    ),
    "LatentConcat": lambda s: core(nodes_latent.LatentConcat, s, s, "x"),
    "LatentCut": lambda s: core(nodes_latent.LatentCut, s, "y", 0, 4),
    "LatentApplyOperation": lambda s: core(
        nodes_latent.LatentApplyOperation,
        s,
        core(nodes_latent.LatentOperationTonemapReinhard, 1.0),
    ),
    "LatentBatch with another": lambda s: core(
        nodes_latent.LatentBatch, s, {"samples": s["samples"] + 1}
    ),
    "another picture of this size": lambda s: {"samples": s["samples"] + 1},
}


@pytest.mark.parametrize("name", OTHER_PICTURES)
def test_a_latent_that_shows_something_else_is_refused_with_its_frame(
    model,
    graph,
    pictures,
    name,
):
    source = graph.source(3)
    frame = frame_of(pictures, source["samples"])
    conds = graph.instruction, graph.negative
    changed = OTHER_PICTURES[name](source)
    with pytest.raises(ValueError, match="frame: (it belongs to|picture [1-6] of the [1-6] in so)"):
        IP2PEditMask.execute(model, *conds, changed, **SETTINGS, frame=frame)
    # Without the frame it is a picture like any other, of its own size.
    mask, heatmap = IP2PEditMask.execute(model, *conds, changed, **SETTINGS).args
    batch, _, height, width = changed["samples"].shape
    assert mask.shape == (batch, 8 * height, 8 * width) == heatmap.shape[:3]
