"""The edit mask on ip2p-mini and a tiny model, and the sentences for what cannot be found."""

import comfy.model_management
import comfy.utils
import pytest
import torch
from instruct_pix2pix.checkpoints.loading import load_checkpoint
from instruct_pix2pix.mini.scenes import SAMPLES, mask, render
from instruct_pix2pix.nodes.loading import BUILT_IN_FILE
from instruct_pix2pix.nodes.pictures import IP2PEncodeSource, IP2PRestore
from instruct_pix2pix.nodes.region import IP2PEditMask
from instruct_pix2pix.nodes.text import IP2PEncodeInstruction

SETTINGS = {
    "seed": 1,
    "method": "relevance",
    "noise_level": 0.8,
    "draws": 4,
    "threshold": 0.5,
    "grow": 0,
    "blur": 0,
}


pytestmark = pytest.mark.usefixtures("inference_mode")


@pytest.fixture(scope="module")
def mini():
    return load_checkpoint(BUILT_IN_FILE)


def tensor(scene, size):
    return torch.tensor(render(scene, size))[None].float() / 255


def find(mini, instruction, source, **changes):
    encoded = IP2PEncodeInstruction.execute(mini.clip, instruction, "", "plain").args
    return IP2PEditMask.execute(mini.model, *encoded, source, **(SETTINGS | changes))


def encode(mini, picture, **inputs):
    inputs = {"fit": "training size", "resolution": mini.resolution} | inputs
    return IP2PEncodeSource.execute(picture, mini.vae, **inputs).args


def tiny(model, graph, source=None, **changes):
    source = source or graph.source()
    conds = graph.instruction, graph.negative
    return IP2PEditMask.execute(model, *conds, source, **(SETTINGS | changes))


def test_schema_is_the_contract():
    schema = IP2PEditMask.GET_SCHEMA()
    inputs = ["model", "instruction", "negative", "source", *SETTINGS, "frame"]
    assert [slot.id for slot in schema.inputs] == inputs
    outputs = [(slot.io_type, slot.display_name) for slot in schema.outputs]
    assert outputs == [("MASK", "mask"), ("IMAGE", "heatmap")]
    defaults = {slot.id: slot.default for slot in schema.inputs[4:-1]}
    assert defaults == SETTINGS | {"seed": 0}


def test_a_change_of_hair_is_found_in_the_hair_at_the_pictures_own_size(mini):
    scene = SAMPLES["portrait - long brown hair"]
    hair = torch.tensor(mask(scene, "hair", 512))
    picture = tensor(scene, 512)
    wide = torch.nn.functional.pad(picture.movedim(-1, 1), (40, 40, 0, 0), mode="replicate")
    for image, region in (
        (picture, hair),
        (wide.movedim(1, -1), torch.nn.functional.pad(hair, (40, 40))),
    ):
        source, frame = encode(mini, image)
        output = find(mini, "make her hair blue", source, frame=frame)
        found, heatmap = output.args
        assert found.shape == image.shape[:3] and heatmap.shape == image.shape
        assert set(found.unique().tolist()) == {0.0, 1.0}
        iou = ((found[0] > 0) & region).sum() / ((found[0] > 0) | region).sum()
        assert iou > 0.6
        assert output.ui.as_dict()["text"][0].startswith("The edit is found in ")


def test_an_edit_of_the_whole_picture_is_said_to_be_one(mini, caplog):
    source, frame = encode(mini, tensor(SAMPLES["landscape - sunny house"], 256))
    with caplog.at_level("INFO"):
        output = find(mini, "change the weather to foggy", source, grow=-100, frame=frame)
    assert output.args[0].shape == (1, 256, 256) and (output.args[0] == 1).all()
    assert output.ui.as_dict()["text"] == (
        "The edit changes the whole picture, so the mask is all white.",
    )
    assert "changes the whole picture" in caplog.text


def test_around_a_mask_nothing_is_found_outside_of_what_the_model_saw(mini):
    scene = SAMPLES["portrait - long brown hair"]
    picture = torch.zeros(1, 400, 500, 3)
    picture[:, 100:356, 200:456] = tensor(scene, 256)
    near = torch.zeros(1, 400, 500)
    near[:, 100:356, 200:456] = 1
    source, frame = encode(mini, picture, fit="around mask", mask=near, margin=0)
    found, heatmap = find(mini, "make her hair blue", source, frame=frame).args
    assert frame.box == (200, 100, 456, 356)
    assert found.shape == (1, 400, 500) and heatmap.shape == picture.shape
    assert not found[near == 0].any()
    hair = torch.zeros(400, 500, dtype=torch.bool)
    hair[100:356, 200:456] = torch.tensor(mask(scene, "hair", 256))
    assert ((found[0] > 0) & hair).sum() / ((found[0] > 0) | hair).sum() > 0.6
    # And the edit within it leaves the rest as it was, to the bit.
    edit = torch.rand(1, frame.working_height, frame.working_width, 3)
    (restored,) = IP2PRestore.execute(edit, frame, 3, "mean-std", found).args
    assert torch.equal(restored[found == 0], picture[found == 0])


@pytest.mark.parametrize("method", ["relevance", "attention"])
def test_the_same_seed_finds_the_same_and_nothing_is_changed(model, graph, method):
    source = graph.source(2)
    before = source["samples"].clone()
    first, heat = tiny(model, graph, source, method=method).args
    again, same = tiny(model, graph, source, method=method).args
    _, other = tiny(model, graph, source, method=method, seed=2).args
    assert first.shape == (2, 64, 64) and heat.shape == (2, 64, 64, 3)
    assert torch.equal(first, again) and torch.equal(heat, same)
    assert not torch.equal(heat, other)
    assert torch.equal(source["samples"], before) and set(source) == {"samples"}
    assert 0 <= heat.min() and heat.max() <= 1


@pytest.mark.parametrize("method", ["relevance", "attention"])
@pytest.mark.parametrize("draws", [1, 5])
def test_a_mask_costs_two_evaluations_a_draw_in_one_batch(model, graph, method, draws):
    batches = []

    def wrapper(apply_model, args):
        batches.append(len(args["input"]))
        return apply_model(args["input"], args["timestep"], **args["c"])

    patched = model.clone()
    patched.set_model_unet_function_wrapper(wrapper)
    tiny(patched, graph, method=method, draws=draws)
    assert batches == [2] * draws


def test_a_mask_of_one_pixel_edits_one_pixel(mini):
    """The smallest mask there is, through the nodes that take one."""
    picture = tensor(SAMPLES["portrait - suit"], 128)
    one = torch.zeros(1, 128, 128)
    one[0, 60, 70] = 1
    source, frame = encode(mini, picture, mask=one)
    assert source["noise_mask"].any()
    found, _ = find(mini, "make his hair red", source, frame=frame).args
    assert found.shape == (1, 128, 128)
    # The frame brings the mask; a mask that is wired is the same.
    for wired in (None, one):
        (restored,) = IP2PRestore.execute(1 - picture, frame, 0, "off", wired).args
        assert torch.equal(restored[one == 0], picture[one == 0])
        assert torch.equal(restored[one == 1], 1 - picture[one == 1])
    with pytest.raises(ValueError, match="mask: it is white in 1 x 1 pixels at most, so there is"):
        encode(mini, picture, fit="around mask", mask=one, margin=8)


def test_a_lower_threshold_and_growing_enlarge_the_mask(mini):
    source, frame = encode(mini, tensor(SAMPLES["portrait - suit"], 256))
    sizes = [
        find(mini, "make his hair red", source, frame=frame, **changes).args[0].sum().item()
        for changes in (
            {"threshold": 0.9, "grow": -1},
            {"threshold": 0.9},
            {"threshold": 0.2},
            {"threshold": 0.2, "grow": 4},
        )
    ]
    assert sizes == sorted(sizes) and len(set(sizes)) == 4
    soft = find(mini, "make his hair red", source, frame=frame, blur=6).args[0]
    assert ((soft > 0) & (soft < 1)).any() and 0 <= soft.min() and soft.max() <= 1
    automatic = find(mini, "make his hair red", source, frame=frame, threshold=0.0).args[0]
    assert 0 < automatic.mean() < 0.5


def test_an_interrupt_stops_it(model, graph, monkeypatch):
    """ComfyUI's progress hook is where a node learns of it."""

    def hook(value, total, preview, node_id=None):
        raise comfy.model_management.InterruptProcessingException

    monkeypatch.setattr(comfy.utils, "PROGRESS_BAR_HOOK", hook)
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        tiny(model, graph)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"method": "guess"}, "method: got 'guess'; choose one of relevance, attention"),
        ({"draws": 0}, "draws: got 0; give 1 to 64"),
        ({"noise_level": 0.0}, "noise_level: got 0.0; give 0.05 to 1"),
        ({"threshold": 1.5}, "threshold: got 1.5; give 0 to 1"),
        ({"blur": -1}, "blur: got -1; give 0 to 256"),
        ({"source": {"samples": torch.zeros(1, 4, 8, 8)}}, "source: this latent is all zeros"),
    ],
)
def test_bad_settings_are_refused_with_a_reason(model, graph, changes, message):
    with pytest.raises(ValueError, match=message):
        tiny(model, graph, **changes)


def test_an_empty_instruction_and_an_empty_mask_are_named(mini):
    source, _ = encode(mini, tensor(SAMPLES["portrait - suit"], 128))
    with pytest.raises(ValueError, match="instruction: it is empty or says the same as the neg"):
        find(mini, "", source)
    with pytest.raises(ValueError, match="nothing is left of the mask at threshold 0.5 and grow"):
        find(mini, "make his hair red", source, grow=-100)


def test_nothing_is_found_outside_of_the_mask_that_the_frame_brings(mini):
    scene = SAMPLES["portrait - long brown hair"]
    picture = tensor(scene, 256)
    left = torch.zeros(1, 256, 256)
    left[..., :128] = 1
    source, frame = encode(mini, picture, mask=left)
    _, everywhere = encode(mini, picture)
    found = find(mini, "make her hair blue", source, frame=frame).args[0]
    whole = find(mini, "make her hair blue", source, frame=everywhere).args[0]
    assert found.any() and torch.equal(found, whole * left)


def test_why_the_instruction_is_read_nowhere_is_said(model, graph):
    """It is limited to steps that are not looked at; or the model has nothing that reads."""
    late = [[cond, {**rest, "start_percent": 0.9}] for cond, rest in graph.instruction]
    ask = {"method": "attention", "draws": 1, "noise_level": 0.9}
    with pytest.raises(ValueError, match="limited to steps that are less noisy or noisier"):
        IP2PEditMask.execute(model, late, graph.negative, graph.source(), **(SETTINGS | ask))
