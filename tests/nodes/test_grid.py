"""The grid shows what IP2PKSampler makes of every pair of scales."""

import comfy.utils
import numpy as np
import pytest
import torch
from instruct_pix2pix.nodes.grid import IP2PGuidanceGrid
from instruct_pix2pix.nodes.sampling import IP2PKSampler
from instruct_pix2pix.pictures.sheet import BLANK, Sheet
from instruct_pix2pix.samplers.control import Guidance

from .inputs import inputs

pytestmark = pytest.mark.usefixtures("inference_mode")


def grid(loaded, given, text_cfgs="5, 7.5", image_cfgs="1.0, 1.5, 2.0", **changes):
    lists = {"text_cfgs": text_cfgs, "image_cfgs": image_cfgs}
    return IP2PGuidanceGrid.execute(**({"vae": loaded.vae} | lists | given | changes)).args


@pytest.mark.parametrize("batch", [1, 2])
def test_cells_are_the_single_edits_row_by_row(loaded, batch):
    given = inputs(loaded, batch)
    images, sheet = grid(loaded, given)
    pairs = [(text, image) for image in (1.0, 1.5, 2.0) for text in (5.0, 7.5)]
    latents = [
        IP2PKSampler.execute(
            **given, text_cfg=text, image_cfg=image, denoise=1.0, numerics="comfyui"
        )[0]["samples"]
        for text, image in pairs
    ]
    singles = [loaded.vae.decode(latent) for latent in latents]
    assert len({image.sum().item() for image in images}) == 6 * batch
    torch.testing.assert_close(images, torch.stack(singles, 1).flatten(0, 1), rtol=0, atol=1e-4)
    # The sheet has a page for each picture of the batch, with the same cells in their places.
    assert len(sheet) == batch
    page = Sheet(
        ["text_cfg 5", "text_cfg 7.5"], [f"image_cfg {r:g}" for r in (1, 1.5, 2)], (48, 64)
    )
    for index in range(6):
        x, y = page.place(index % 2, index // 2)
        cell = sheet[-1, y : y + 64, x : x + 48]
        torch.testing.assert_close(cell, images[6 * (batch - 1) + index], rtol=0, atol=1 / 255)


def test_guidance_acts_in_every_cell(loaded):
    given = inputs(loaded) | {"guidance": Guidance(rescale=0.7)}
    images, _ = grid(loaded, given, "7.5, 12", "1.5")
    for image, text in zip(images, (7.5, 12.0), strict=True):
        scales = {"text_cfg": text, "image_cfg": 1.5, "denoise": 1.0, "numerics": "comfyui"}
        latent = IP2PKSampler.execute(**(given | scales))[0]["samples"]
        torch.testing.assert_close(image, loaded.vae.decode(latent)[0], rtol=0, atol=1e-4)


def test_the_preview_grows(loaded, monkeypatch):
    shown = []

    def hook(value, total, preview, node_id=None):
        blank = (np.array(preview[1]) == BLANK).all(-1).sum()
        shown.append((value, total, blank))

    monkeypatch.setattr(comfy.utils, "PROGRESS_BAR_HOOK", hook)
    grid(loaded, inputs(loaded))
    values, totals, blanks = zip(*shown, strict=True)
    # The row that needs no third branch is a batch of its own, done when the other begins.
    assert values == (2, 4, 6, 10, 14, 18)
    assert set(totals) == {3 * 6}
    cells = [blank // (48 * 64) for blank in blanks]
    assert cells == [6, 6, 6, 4, 4, 4]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text_cfgs": "5, many"}, "text_cfgs: 'many' is not a number"),
        ({"image_cfgs": ""}, "image_cfgs: the list is empty"),
        ({"text_cfgs": "1 " * 101}, "101 times 3 scales are 303 edits; one grid makes at most 100"),
        ({"vae": None}, "vae: nothing arrived"),
        ({"sampler_name": "best"}, "sampler_name: got 'best'"),
        ({"source": {"samples": torch.zeros(1, 4, 8, 6)}}, "source: this latent is all zeros"),
    ],
)
def test_bad_input_is_named(loaded, changes, message):
    with pytest.raises(ValueError, match=message):
        grid(loaded, inputs(loaded), **changes)


def test_an_empty_instruction_is_named(loaded):
    given = inputs(loaded)
    with pytest.raises(ValueError, match="instruction: it is empty or says the same as the neg"):
        grid(loaded, given | {"instruction": given["negative"]})


@pytest.mark.parametrize("change", [{"denoise": 0.6}, {"numerics": "official"}])
def test_denoise_and_numerics_reach_every_cell(loaded, change):
    given = inputs(loaded) | change
    images, _ = grid(loaded, given, "7.5, 12", "1.5")
    for image, text in zip(images, (7.5, 12.0), strict=True):
        latent = IP2PKSampler.execute(**given, text_cfg=text, image_cfg=1.5)[0]["samples"]
        torch.testing.assert_close(image, loaded.vae.decode(latent)[0], rtol=0, atol=1e-4)
    assert not torch.equal(images, grid(loaded, inputs(loaded), "7.5, 12", "1.5")[0])
