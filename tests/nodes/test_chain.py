"""Each turn of a chain is the edit that one would make by hand on the latent of the turn before."""

import pytest
import torch
from instruct_pix2pix.nodes.chain import IP2PEditChain, own_region
from instruct_pix2pix.nodes.sampling import IP2PKSampler
from instruct_pix2pix.nodes.text import IP2PEncodeInstruction

from .inputs import inputs

pytestmark = pytest.mark.usefixtures("inference_mode")

TURNS = ["make it snow", "turn her hair blue", "make it night"]
SETTINGS = {
    "seed": 3,
    "steps": 3,
    "text_cfg": 5.0,
    "image_cfg": 1.4,
    "sampler_name": "euler_ancestral",
    "scheduler": "normal",
}


def chain(loaded, source, instructions=None, mask_each=False, **changes):
    return IP2PEditChain.execute(
        model=loaded.model,
        clip=loaded.clip,
        source=source,
        instructions="\n".join(TURNS) if instructions is None else instructions,
        mask_each=mask_each,
        **(SETTINGS | changes),
    ).args


def encoded(loaded, text):
    return IP2PEncodeInstruction.execute(loaded.clip, text, "", "plain").args


def by_hand(loaded, source, text):
    return IP2PKSampler.execute(
        loaded.model, *encoded(loaded, text), source, **SETTINGS, denoise=1.0, numerics="comfyui"
    )[0]


@pytest.mark.parametrize("batch", [1, 2])
def test_a_turn_is_the_edit_of_the_turn_before(loaded, batch):
    source = inputs(loaded, batch)["source"]
    latents, last = chain(loaded, source)
    assert latents["samples"].shape == (3 * batch, *source["samples"].shape[1:])
    for turn, text in zip(latents["samples"].split(batch), TURNS, strict=True):
        source = by_hand(loaded, source, text)
        assert torch.equal(turn, source["samples"])
    assert torch.equal(last["samples"], source["samples"])


def test_what_comes_with_the_source_goes_on(loaded):
    """Its mask holds in every turn, and what other nodes put there is still there."""
    source = inputs(loaded)["source"] | {"noise_mask": torch.zeros(1, 1, 8, 6), "note": "kept"}
    source["noise_mask"][..., :3] = 1
    latents, last = chain(loaded, source)
    assert latents["note"] == last["note"] == "kept"
    assert torch.equal(last["noise_mask"], source["noise_mask"])
    for turn in latents["samples"]:
        torch.testing.assert_close(turn[..., 3:], source["samples"][0, ..., 3:])
        assert (turn[..., :3] - source["samples"][0, ..., :3]).abs().mean() > 0.1


def test_mask_each_keeps_what_is_outside_of_each_region(loaded):
    source = inputs(loaded, 2)["source"]
    latents, _ = chain(loaded, source, mask_each=True)
    before, covered = source["samples"], []
    for turn, text in zip(latents["samples"].split(2), TURNS, strict=True):
        current = {**source, "samples": before}
        mask = own_region(loaded.model, *encoded(loaded, text), current, SETTINGS["seed"])
        assert torch.equal(turn, by_hand(loaded, {**current, "noise_mask": mask}, text)["samples"])
        kept = (mask == 0).expand_as(turn)
        torch.testing.assert_close(turn[kept], before[kept])
        covered.append(mask.mean().item())
        before = turn
    assert max(covered) > 0


def test_the_masks_of_edit_and_source_are_both_kept(loaded):
    source = inputs(loaded, 2)["source"]
    conds = encoded(loaded, TURNS[0])
    alone = own_region(loaded.model, *conds, source, 3)
    source["noise_mask"] = torch.zeros(1, 1, 64, 48)
    source["noise_mask"][..., :32, :] = 1
    both = own_region(loaded.model, *conds, source, 3)
    assert torch.equal(both[:, :1, :4], alone[:, :, :4]) and not both[:, :, 4:].any()


def test_empty_lines_are_no_turns(loaded):
    source = inputs(loaded)["source"]
    latents, _ = chain(loaded, source, "\n  make it snow \r\n\n\n turn her hair blue\n")
    plain, _ = chain(loaded, source, "make it snow\nturn her hair blue")
    assert torch.equal(latents["samples"], plain["samples"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"instructions": " \n "}, "instructions: there is none. Write what to change"),
        ({"scheduler": "best"}, "scheduler: got 'best'"),
        ({"source": {"samples": torch.zeros(1, 4, 8, 6)}}, "source: this latent is all zeros"),
    ],
)
def test_bad_input_is_named(loaded, changes, message):
    with pytest.raises(ValueError, match=message):
        chain(loaded, **({"source": inputs(loaded)["source"]} | changes))


@pytest.mark.parametrize("change", [{"denoise": 0.6}, {"numerics": "official"}])
def test_denoise_and_numerics_reach_every_turn(loaded, change):
    source = inputs(loaded)["source"]
    latents, _ = chain(loaded, source, **change)
    for turn, text in zip(latents["samples"], TURNS, strict=True):
        asked = encoded(loaded, text)
        source = IP2PKSampler.execute(loaded.model, *asked, source, **(SETTINGS | change))[0]
        assert torch.equal(turn[None], source["samples"])
