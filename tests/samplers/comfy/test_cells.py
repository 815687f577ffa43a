"""Many edits at once equal the same edits one at a time."""

import comfy.model_management
import comfy.samplers
import comfy.utils
import pytest
import torch
from comfy.context_windows import (
    IndexListContextHandler,
    get_matching_context_schedule,
    get_matching_fuse_method,
)
from comfy.patcher_extension import WrappersMP
from comfy_extras.nodes_easycache import EasyCacheNode, LazyCacheNode
from instruct_pix2pix.samplers.comfy.cells import BATCHING
from instruct_pix2pix.samplers.comfy.sampling import Cell, Edit
from instruct_pix2pix.samplers.control import Guidance, Schedule

from ..graph import assert_close

CELLS = [Cell(7.5, 1.5, 5), Cell(4.0, 1.0, 5), Cell(3.0, 3.0, 5), Cell(0.0, 2.0, 8)]


def run(model, graph, source, cells, sampler_name="euler", guidance=None):
    edit = Edit(
        model, graph.instruction, graph.negative, source, 3, sampler_name, "normal", guidance
    )
    found = {}
    for indices, latents in edit.run(cells, comfy.utils.ProgressBar(1), lambda *_: None):
        found |= dict(zip(indices, latents, strict=True))
    return [found[index] for index in range(len(cells))]


def singles(model, graph, source, cells, sampler_name="euler", guidance=None):
    return [
        graph.edit(
            model,
            source,
            cell.text_cfg,
            cell.image_cfg,
            sampler_name,
            seed=cell.seed,
            guidance=guidance,
        )
        for cell in cells
    ]


def assert_same(found, expected):
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("sampler_name", sorted(BATCHING))
def test_cells_equal_single_edits(model, graph, sampler_name):
    """Within 1e-5 of the range, with every sampler that takes several cells at once, for two cells
    of other scales and other noise. Cells of the same noise are the guider's concern: see below."""
    cells = [Cell(7.5, 1.5, 5), Cell(3.0, 1.2, 8)]
    source = graph.source()
    edit = Edit(model, graph.instruction, graph.negative, source, 3, sampler_name, "normal")
    assert edit.batches(cells) == [[0, 1]]
    found = run(model, graph, source, cells, sampler_name)
    for one, other in zip(found, singles(model, graph, source, cells, sampler_name), strict=True):
        assert_close(one, other)


@pytest.mark.parametrize("sampler_name", sorted(set(comfy.samplers.SAMPLER_NAMES) - BATCHING))
def test_cells_of_other_samplers_run_alone(model, graph, sampler_name):
    source = graph.source()
    edit = Edit(model, graph.instruction, graph.negative, source, 3, sampler_name, "normal")
    assert edit.batches(CELLS) == [[0], [1], [2], [3]]
    # At scales that adaptive steps are through with soon.
    args = model, graph, source, [Cell(1.5, 1.2, 5)], sampler_name
    assert_same(run(*args), singles(*args))


@pytest.mark.parametrize("numerics", ["comfyui", "official"])
@pytest.mark.parametrize("denoise", [1.0, 0.6])
def test_cells_have_the_denoise_and_the_numerics_of_the_edit(model, graph, numerics, denoise):
    source = graph.source(2) | {"batch_index": [1, 2]}
    cells = [Cell(7.5, 1.5, 5), Cell(4.0, 2.0, 8)]
    inputs = (model, graph.instruction, graph.negative, source, 4, "euler_ancestral", "normal")
    edit = Edit(*inputs, denoise=denoise, numerics=numerics)
    found = edit.sample(cells, lambda *_: None).unflatten(0, (2, 2))
    for cell, one in zip(cells, found, strict=True):
        alone = graph.edit(
            model,
            source,
            cell.text_cfg,
            cell.image_cfg,
            "euler_ancestral",
            seed=cell.seed,
            steps=4,
            denoise=denoise,
            numerics=numerics,
        )
        assert_close(one, alone)


def override(executor, x, timestep, *args, **kwargs):
    """As core's CFGOverride does: one number for the scale, in the middle of the run."""
    if timestep[0] < 5:
        executor.class_obj.cfg = 3.0
    return executor(x, timestep, *args, **kwargs)


def all_together(executor, model, conds, x, timestep, options):
    """One decision for the whole batch, as caches of steps take it."""
    return [one * x.std() for one in executor(model, conds, x, timestep, options)]


def outer(executor, noise, *args, **kwargs):
    return executor(noise / noise.std(), *args, **kwargs)


def in_windows(model):
    """ContextWindows along the height."""
    patched = model.clone()
    patched.model_options["context_handler"] = IndexListContextHandler(
        context_schedule=get_matching_context_schedule("standard_static"),
        fuse_method=get_matching_fuse_method("pyramid"),
        context_length=6,
        context_overlap=2,
        dim=2,
    )
    return patched


def wrapped(kind, wrapper):
    def patch(model):
        patched = model.clone()
        patched.add_wrapper(getattr(WrappersMP, kind), wrapper)
        return patched

    return patch


@pytest.mark.parametrize(
    "patch",
    [
        wrapped("PREDICT_NOISE", override),
        wrapped("CALC_COND_BATCH", all_together),
        wrapped("OUTER_SAMPLE", outer),
        lambda model: LazyCacheNode.execute(model, 0.5, 0.0, 1.0, False)[0],
        lambda model: EasyCacheNode.execute(model, 0.5, 0.0, 1.0, False)[0],
    ],
    ids=["predict_noise", "calc_cond_batch", "outer_sample", "LazyCache", "EasyCache"],
)
def test_cells_run_alone_where_something_acts_on_the_batch(model, graph, patch):
    patched, source = patch(model), graph.source()
    found = run(patched, graph, source, CELLS)
    for one, alone in zip(found, singles(patched, graph, source, CELLS), strict=True):
        assert torch.equal(one, alone)


def test_cells_run_alone_in_context_windows(model, graph):
    edit = Edit(
        in_windows(model), graph.instruction, graph.negative, graph.source(), 3, "euler", "normal"
    )
    assert edit.batches(CELLS) == [[0], [1], [2], [3]]


def test_two_masks_for_three_pictures_are_those_of_the_single_edit(model, graph):
    """ComfyUI takes as many as there are pictures; one too few is used again, in each cell."""
    source = graph.source(3)
    source["noise_mask"] = torch.zeros(2, 1, 64, 64)
    source["noise_mask"][0, ..., 32:] = 1
    source["noise_mask"][1, ..., :16] = 1
    args = model, graph, source, CELLS[:2], "euler_ancestral"
    assert_same(run(*args), singles(*args))


@pytest.mark.parametrize("masks", [1, 2])
def test_batches_of_pictures_masks_and_regions(model, graph, masks):
    source = graph.source(2)
    source["noise_mask"] = torch.zeros(masks, 1, 64, 64)
    source["noise_mask"][..., 16:48] = 1
    region = source["noise_mask"][:, 0]
    guidance = Guidance(text=Schedule(curve="cosine", outside=0.5), region=region)
    args = model, graph, source, CELLS, "euler_ancestral", guidance
    assert_same(run(*args), singles(*args))


def test_patches_that_read_the_scale_get_one_number(model, graph):
    scales = []

    def hook(args):
        scales.append(args["cond_scale"])
        return args["denoised"] * (1 - 0.01 * args["cond_scale"])

    patched = model.clone()
    patched.set_model_sampler_post_cfg_function(hook)
    source = graph.source()
    assert_same(run(patched, graph, source, CELLS), singles(patched, graph, source, CELLS))
    assert set(scales) == {cell.text_cfg for cell in CELLS}


def evaluations(model, graph, cells):
    """Pictures that went through the network."""
    counts = []

    def wrapper(apply_model, args):
        counts.append(len(args["input"]))
        return apply_model(args["input"], args["timestep"], **args["c"])

    patched = model.clone()
    patched.set_model_unet_function_wrapper(wrapper)
    run(patched, graph, graph.source(), cells)
    return sum(counts)


def test_what_is_identical_is_shared(model, graph):
    """The first step of all cells of one seed, and no branch that a cell does not need."""
    same_seed = [Cell(7.5, 1.5, 5), Cell(5.0, 1.5, 5), Cell(7.5, 1.0, 5), Cell(5.0, 1.0, 5)]
    assert evaluations(model, graph, same_seed) == 3 + 2 * (2 * 3) + 2 + 2 * (2 * 2)
    seeds = [Cell(7.5, 1.5, 5), Cell(7.5, 1.5, 6)]
    assert evaluations(model, graph, seeds) == 3 * 2 * 3


@pytest.mark.parametrize(("room", "sizes"), [(0.5, [1] * 5), (2.5, [2, 2, 1]), (99, [5])])
def test_batches_fit_the_memory(model, graph, monkeypatch, room, sizes):
    source = graph.source()
    each = 1.5 * model.memory_required([3, *source["samples"].shape[1:]])
    unloaded = model.model_size() - model.loaded_size()
    monkeypatch.setattr(
        comfy.model_management, "get_free_memory", lambda *_, **__: unloaded + room * each
    )
    edit = Edit(model, graph.instruction, graph.negative, source, 3, "euler", "normal")
    batches = edit.batches([Cell(5.0 + index, 1.5, 0) for index in range(5)])
    assert list(map(len, batches)) == sizes
    assert sum(batches, []) == list(range(5))


def test_an_interrupt_stops_between_steps(model, graph, monkeypatch):
    """Where ComfyUI hears it: the hook of its progress bar, at each step."""
    heard = []

    def hook(value, total, preview, node_id=None):
        heard.append((value, total))
        comfy.model_management.interrupt_current_processing()
        comfy.model_management.throw_exception_if_processing_interrupted()

    monkeypatch.setattr(comfy.utils, "PROGRESS_BAR_HOOK", hook)
    edit = Edit(model, graph.instruction, graph.negative, graph.source(), 9, "euler", "normal")
    cells = [Cell(5.0, 1.5, 0), Cell(6.0, 1.5, 0)]
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        list(edit.run(cells, comfy.utils.ProgressBar(18), lambda *_: None))
    assert heard == [(2, 18)]
