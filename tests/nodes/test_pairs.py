"""IP2PMakePairs: the pairs that it draws, keeps and reports."""

import re

import comfy.model_management
import comfy.utils
import pytest
import torch
from instruct_pix2pix.checkpoints.loading import load_checkpoint
from instruct_pix2pix.nodes.pairs import IP2PMakePairs
from instruct_pix2pix.pairs.filter import NothingKept
from instruct_pix2pix.pairs.prompt_to_prompt import draw_pairs, draws

from ..checkpoints.factory import tiny_checkpoint
from ..pairs.drawing import tiny_text_to_image
from ..pairs.test_scores import vision


@pytest.fixture(scope="module")
def model():
    return tiny_text_to_image()[0]


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    return load_checkpoint(tiny_checkpoint(tmp_path_factory.mktemp("tiny")))


@pytest.fixture
def make(model, parts):
    def run(**changes):
        inputs = dict(model=model, clip=parts.clip, vae=parts.vae, before="a lake")
        inputs |= dict(after="a lake in snow", samples=3, keep=2, swap_from=0.1, swap_to=0.9)
        inputs |= dict(cfg_from=7.5, cfg_to=15.0, steps=2, sampler_name="euler_ancestral")
        inputs |= dict(scheduler="normal", seed=7)
        inputs["latent_image"] = {"samples": torch.zeros(1, 4, 8, 8)}
        return IP2PMakePairs.execute(**(inputs | changes)).args

    return run


def test_without_scores_the_first_pairs_are_kept_as_they_are_drawn(make, model, parts) -> None:
    before, after, report = make()
    texts = [
        parts.clip.encode_from_tokens_scheduled(parts.clip.tokenize(text))
        for text in ("a lake", "a lake in snow", "")
    ]
    chosen = draws(7, 3, (0.1, 0.9), (7.5, 15))
    start = torch.zeros(1, 4, 8, 8)
    assert before.shape == after.shape == (2, 64, 64, 3)
    for number in range(2):
        latents = draw_pairs(
            model, *texts, chosen[number : number + 1], start, 2, "euler_ancestral", "normal"
        )
        expected = parts.vae.decode(latents[0])
        torch.testing.assert_close(before[number], expected[0], atol=1e-4, rtol=0)
        torch.testing.assert_close(after[number], expected[1], atol=1e-4, rtol=0)
    assert report.splitlines() == [
        "2 of 3 pairs kept; refused: 1 for more than are kept.",
        "Not scored: connect a CLIP vision model to keep the best.",
        *(f"seed {d.seed}  swap {d.swap:.3f}  cfg {d.cfg:.2f}" for d in chosen[:2]),
    ]


def test_a_vision_model_scores_the_pictures_and_the_report_says_what_is_missing(
    make, tmp_path
) -> None:
    before, _, report = make(clip_vision=vision(tmp_path), keep=3)
    assert "Captions not scored: connect the text part of the same CLIP" in report
    values = [float(value) for value in re.findall(r"image (\S+)$", report, re.MULTILINE)]
    assert len(values) == len(before) and all(0.7 <= value <= 1 for value in values)


def test_nothing_kept_is_an_error_that_holds_the_report(make, tmp_path) -> None:
    dino = vision(tmp_path, model_type="dinov2", image_size=518)
    with torch.no_grad():
        for weight in dino.model.parameters():
            weight.zero_()  # every picture then has the same, empty embedding: cosine 0
    with pytest.raises(NothingKept, match="0 of 3 pairs kept; refused: 3 for dino below 0.4"):
        make(clip_vision=dino, thresholds="ultraedit")


def test_the_same_inputs_give_the_same_pairs(make) -> None:
    first, second = make(), make()
    assert torch.equal(first[0], second[0]) and torch.equal(first[1], second[1])
    assert not torch.equal(make(seed=8)[0], first[0])


def test_pairs_can_start_from_a_picture(make, parts) -> None:
    picture = torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(0))
    latent = {"samples": parts.vae.encode(picture)}
    near = make(latent_image=latent, denoise=0.3, steps=4)[0]
    far = make(latent_image=latent, denoise=1.0, steps=4)[0]
    assert near.shape == (2, 64, 64, 3)
    decoded = parts.vae.decode(latent["samples"])
    assert (near - decoded).abs().mean() < (far - decoded).abs().mean()


def test_the_bar_goes_to_the_end_and_shows_pairs_as_they_come(make) -> None:
    told = []
    comfy.utils.set_progress_bar_global_hook(
        lambda value, total, preview, **_: told.append((value, total, preview))
    )
    try:
        make(samples=6)
    finally:
        comfy.utils.set_progress_bar_global_hook(None)
    values = [value for value, *_ in told]
    assert values == sorted(values) and values[-1] == told[-1][1] == 12
    kind, sheet, _ = told[-1][2]
    assert kind == "JPEG" and sheet.width > 2 * 64 and sheet.height > 2 * 64


def test_an_interrupt_ends_it(make) -> None:
    def interrupt(*_, **__):
        comfy.model_management.interrupt_current_processing()
        comfy.model_management.throw_exception_if_processing_interrupted()

    comfy.utils.set_progress_bar_global_hook(interrupt)
    try:
        with pytest.raises(comfy.model_management.InterruptProcessingException):
            make()
    finally:
        comfy.utils.set_progress_bar_global_hook(None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"before": " "}, "before: it is empty"),
        ({"after": ""}, "after: it is empty"),
        ({"after": " a lake "}, "they say the same"),
        ({"swap_from": 0.9, "swap_to": 0.1}, "swap_from, swap_to: got 0.9 to 0.1"),
        ({"cfg_from": 9.0, "cfg_to": 8.0}, "cfg_from, cfg_to"),
        ({"vae": None}, "vae: nothing arrived"),
        ({"clip": None}, "clip: nothing arrived"),
        ({"sampler_name": "dpmpp_sde"}, "dpmpp_sde draws noise"),
        ({"sampler_name": "none"}, "sampler_name: got 'none'"),
        ({"thresholds": "mine"}, "thresholds: got 'mine'"),
    ],
)
def test_what_cannot_be_drawn_is_refused_before_the_first_step(make, changes, message) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        make(**changes)


def test_an_editor_is_not_taken_for_a_text_to_image_model(make, parts) -> None:
    with pytest.raises(ValueError, match="8 input channels"):
        make(model=parts.model)
