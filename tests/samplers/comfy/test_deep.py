"""Deep features that serve two steps: right to the bit, and off where they would not be."""

import comfy.patcher_extension
import comfy.utils
import pytest
import torch
from instruct_pix2pix.samplers.comfy.deep import DeepFeatures, first_of_last_level
from instruct_pix2pix.samplers.comfy.guider import DualGuider
from instruct_pix2pix.samplers.comfy.sampling import Cell, Edit
from instruct_pix2pix.samplers.control import Guidance
from instruct_pix2pix.samplers.reuse import Reuse

from ..graph import assert_close

FAST, FASTEST = Guidance(reuse=Reuse()), Guidance(reuse=Reuse(deep_every=2))
ANCESTRAL = {"sampler_name": "euler_ancestral", "steps": 10}


def test_the_last_level_on_what_is_kept_is_the_whole_network(model, graph):
    """To the bit, where both see the same input."""
    features, unet = DeepFeatures(), model.model.diffusion_model
    kind = comfy.patcher_extension.WrappersMP.DIFFUSION_MODEL
    x = torch.randn(4, 8, 9, 13, generator=torch.Generator().manual_seed(0))
    context = torch.cat([graph.instruction[0][0]] * 4)

    def call(uuids, control=None, **wrappers):
        options = {"uuids": uuids, "wrappers": wrappers}
        return unet(x, torch.full((4,), 500.0), context, None, control, options)

    ours = {kind: {None: [features]}}
    plain = call(["a", "b"])
    assert torch.equal(call(["a", "b"], **ours), plain)
    assert {name: h.shape[0] for name, h in features.kept.items()} == {"a": 2, "b": 2}
    features.may_reuse = True
    assert torch.equal(call(["a", "b"], **ours), plain) and features.reused
    features.reused = False
    call(["a", "b"], control={"output": []}, **ours)
    assert not features.reused, "a control acts within the blocks"
    assert torch.equal(call(["a", "c"], **ours), plain), "nothing is kept for c"
    assert not features.reused


def replaced_by_table(model, steps):
    """A clone whose whole network runs, with what enters the last level looked up in a table.

    Steps of `steps` write it, the others read it. The slow way to the same result.
    """
    first = first_of_last_level(model.model.diffusion_model)
    table = {}

    def replace(h, skip, options):
        if options["block"] == ("output", first):
            sigma = options["sigmas"][0]
            step = int((options["sample_sigmas"] - sigma).abs().argmin())
            uuids = options["uuids"]
            if step in steps:
                table.update(zip(uuids, h.chunk(len(uuids)), strict=True))
            h = torch.cat([table[uuid] for uuid in uuids])
        return h, skip

    patched = model.clone()
    patched.set_model_output_block_patch(replace)
    return patched


def test_fastest_is_the_slow_reference_to_the_bit(model, graph):
    found = graph.edit(model, graph.source(2), **ANCESTRAL, guidance=FASTEST)
    slow = replaced_by_table(model, range(0, 10, 2))
    assert torch.equal(found, graph.edit(slow, graph.source(2), **ANCESTRAL, guidance=FAST))
    assert not torch.equal(found, graph.edit(model, graph.source(2), **ANCESTRAL, guidance=FAST))


@pytest.mark.parametrize("sampler_name", ["heun", "dpmpp_2m", "dpmpp_sde", "uni_pc"])
def test_fastest_is_deterministic_and_finite(model, graph, sampler_name):
    ways = {"sampler_name": sampler_name, "steps": 6, "guidance": FASTEST}
    first, second = (graph.edit(model, graph.source(), **ways) for _ in range(2))
    assert torch.equal(first, second) and first.isfinite().all()


def test_the_log_says_what_was_reused(model, graph, caplog):
    caplog.set_level("INFO")
    graph.edit(model, graph.source(), steps=20, guidance=FASTEST)
    said = "45 of 60 evaluations run, 15 reused; 20 of those run had their deep features reused."
    assert said in caplog.text


def test_a_cell_of_a_grid_is_the_edit_alone(model, graph):
    """Their common first step is predicted once for all."""
    cells = [Cell(7.5, 1.5, 5), Cell(4.0, 1.8, 5)]
    inputs = (model, graph.instruction, graph.negative, graph.source(2), 6, "euler", "normal")
    found = {}
    edit = Edit(*inputs, FASTEST)
    assert edit.batches(cells) == [[0, 1]]
    for indices, latents in edit.run(cells, comfy.utils.ProgressBar(1), lambda *_: None):
        found |= dict(zip(indices, latents, strict=True))
    for index, cell in enumerate(cells):
        scales = cell.text_cfg, cell.image_cfg
        alone = graph.edit(model, graph.source(2), *scales, steps=6, guidance=FASTEST)
        assert_close(found[index], alone)


def attention_patched(model):
    patched = model.clone()
    patched.set_model_attn1_patch(lambda q, k, v, options: (q, k, v))
    return patched


def hooked(model):
    patched = model.clone()
    patched.set_model_sampler_post_cfg_function(lambda args: args["denoised"])
    return patched


@pytest.mark.parametrize("change", [attention_patched, hooked])
def test_what_looks_into_the_network_or_at_plain_cfgs_pair_gets_it_whole(model, graph, change):
    found, fast = (
        graph.edit(change(model), graph.source(), **ANCESTRAL, guidance=guidance)
        for guidance in (FASTEST, FAST)
    )
    assert torch.equal(found, fast)


@pytest.mark.parametrize("stops_at", [None, 3])
def test_nothing_is_kept_after_a_run(model, graph, stops_at):
    guider = DualGuider(model, graph.instruction, graph.negative, graph.source(), 7.5, 1.5, FASTEST)
    sampler = comfy.samplers.sampler_object("euler")
    sigmas = comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), "normal", 6)
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    kept = []

    def stop(step, *_):
        kept.append(len(guider.deep.kept))
        if step == stops_at:
            raise RuntimeError("stopped")

    run = (noise, torch.zeros_like(noise), sampler, sigmas)
    if stops_at is None:
        guider.sample(*run, callback=stop, seed=0)
    else:
        with pytest.raises(RuntimeError, match="stopped"):
            guider.sample(*run, callback=stop, seed=0)
    assert max(kept) == 3 and not guider.deep.kept
