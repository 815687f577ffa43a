"""Geometry and compositing of pictures, over sizes that people have."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from instruct_pix2pix.nodes import frame as frames
from instruct_pix2pix.nodes.frame import (
    BILINEAR,
    LANCZOS,
    feather_inward,
    fit_around_mask,
    fit_keep_size,
    fit_training_size,
    latent_mask,
    match_mean_std,
    resize,
    resize_mask,
    restore,
    to_original,
    to_working,
    training_size,
)
from PIL import Image

sides = st.integers(1, 4000)
small_sides = st.integers(1, 70)
resolutions = st.sampled_from([64, 128, 256, 500, 512, 768, 1024])
fits = {
    "training size": lambda image: fit_training_size(image, 64),
    "keep size": fit_keep_size,
}


def picture_of(width, height, channels=3, batch=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(batch, height, width, channels, generator=generator)


def smooth_picture(width, height):
    """Slow waves, a different one in each channel: what survives a change of resolution."""
    x = torch.linspace(0, 1, width)[None, :, None]
    y = torch.linspace(0, 1, height)[:, None, None]
    phase = torch.arange(3.0)
    return (0.5 + 0.4 * torch.sin(3 * x + phase) * torch.cos(2 * y - phase))[None]


def empty_picture(width, height):
    """A picture of any size that takes no memory."""
    return torch.zeros(1, 1, 1, 3).expand(1, height, width, 3)


def authors_size(width, height):
    """The rule as the paper's edit_cli.py computes it, and whether its floats were harmless."""
    factor = 512 / max(width, height)
    factor = math.ceil(min(width, height) * factor / 64) * 64 / min(width, height)
    scaled = width * factor, height * factor
    # Floats are harmless where they come out clear of the whole block they are compared with.
    exact = 512 * min(width, height) / max(width, height) / 64
    values = (exact, scaled[0] / 64, scaled[1] / 64)
    harmless = all(value % 1 == 0 or 1e-9 < value % 1 < 1 - 1e-9 for value in values)
    return (int(scaled[0] // 64) * 64, int(scaled[1] // 64) * 64), harmless


@given(sides, sides)
@settings(max_examples=500, deadline=None)
def test_training_size_is_the_authors_wherever_their_floats_are_harmless(width, height):
    size, harmless = authors_size(width, height)
    if harmless and max(size) <= 4096:
        assert training_size(width, height, 512) == size


@pytest.mark.parametrize(
    ("picture", "resolution", "working"),
    [
        ((1920, 1080), 512, (512, 320)),
        ((839, 1082), 512, (448, 576)),
        ((3000, 1000), 512, (576, 192)),
        ((512, 512), 512, (512, 512)),
        ((206, 480), 512, (256, 576)),  # The authors' floats lose a block: 192 x 576.
        ((512, 512), 128, (128, 128)),
        ((1920, 1080), 128, (128, 80)),
        ((1, 8000), 512, (64, 4096)),  # The authors: 64 x 512000.
        ((8000, 100), 512, (4096, 64)),
        ((1, 1), 512, (512, 512)),
    ],
)
def test_training_size_of_known_pictures(picture, resolution, working):
    assert training_size(*picture, resolution) == working


@given(sides, sides, resolutions)
@settings(max_examples=500, deadline=None)
def test_training_frame_is_whole_blocks_and_keeps_the_aspect(width, height, resolution):
    frame = fit_training_size(empty_picture(width, height), resolution)
    block = min(64, max(8, resolution // 64 * 8))
    assert frame.working_width % block == frame.working_height % block == 0
    assert max(frame.working_width, frame.working_height) <= 8 * resolution
    # The picture touches two opposite sides, and its other side is exact to less than a pixel.
    assert frame.width == frame.working_width or frame.height == frame.working_height
    assert min(frame.left, frame.top, frame.right, frame.bottom) >= 0
    scale = min(frame.working_width / width, frame.working_height / height)
    for inner, side in ((frame.width, width), (frame.height, height)):
        assert inner >= 1
        assert abs(inner - side * scale) <= (0.5 + 1e-6 if inner > 1 else 1)
    assert abs(frame.left - frame.right) <= 1 and abs(frame.top - frame.bottom) <= 1


@given(sides, sides)
@settings(max_examples=200, deadline=None)
def test_keep_size_pads_less_than_a_cell_and_does_not_resize(width, height):
    frame = fit_keep_size(empty_picture(width, height))
    assert (frame.width, frame.height) == (width, height)
    assert frame.working_width % 8 == frame.working_height % 8 == 0
    assert frame.working_width - width < 8 and frame.working_height - height < 8


def test_resolution_too_small_is_refused():
    with pytest.raises(ValueError, match="resolution must be at least 64, got 0"):
        fit_training_size(picture_of(8, 8), 0)


@given(small_sides, small_sides, st.sampled_from([1, 3, 4]), st.integers(1, 2))
@settings(max_examples=50, deadline=None)
def test_keep_size_there_and_back_is_the_same_bits(width, height, channels, batch):
    picture = picture_of(width, height, channels, batch)
    frame = fit_keep_size(picture)
    working = to_working(picture, frame)
    assert working.shape == (batch, frame.working_height, frame.working_width, channels)
    assert torch.equal(to_original(working, frame), picture)


@given(small_sides, small_sides, st.sampled_from(sorted(fits)))
@settings(max_examples=50, deadline=None)
def test_padding_is_the_reflection_of_the_picture_and_comes_off(width, height, fit):
    picture = picture_of(width, height)
    frame = fits[fit](picture)
    working = to_working(picture, frame)
    inner = resize(picture, frame.width, frame.height, LANCZOS)
    pad = [(0, 0), (frame.top, frame.bottom), (frame.left, frame.right), (0, 0)]
    assert np.array_equal(working.numpy(), np.pad(inner.numpy(), pad, mode="reflect"))
    # What the padding holds has no part in what comes back.
    ruined = torch.full_like(working, 0.5)
    place = (
        slice(None),
        slice(frame.top, frame.top + frame.height),
        slice(frame.left, frame.left + frame.width),
    )
    ruined[place] = working[place]
    assert torch.equal(to_original(ruined, frame), to_original(working, frame))


@pytest.mark.parametrize("size", [(300, 200, 64, 48), (100, 80, 512, 400), (333, 517, 256, 400)])
def test_resize_is_pillows_lanczos(size):
    width, height, new_width, new_height = size
    # Away from black and white, where Pillow's 8-bit filter cuts off between its two passes.
    levels = (picture_of(width, height) * 128 + 64).round()
    ours = resize(levels / 255, new_width, new_height, LANCZOS)
    theirs = Image.fromarray(levels[0].byte().numpy()).resize((new_width, new_height), LANCZOS)
    difference = (ours[0] * 255).round() - torch.from_numpy(np.array(theirs))
    assert difference.abs().max() <= 1


def test_resize_keeps_more_than_eight_bits():
    """A ramp of 1/4 grey level a pixel keeps its steps: 8-bit filters would leave a staircase."""
    ramp = (torch.arange(256.0) / 4 / 255)[None, None, :, None].expand(1, 8, 256, 3)
    half = resize(ramp, 128, 8, LANCZOS)[0, 0, 4:-4, 0]
    assert torch.allclose(half.diff(), torch.full((119,), 0.5 / 255), atol=1e-6)


def test_resize_does_not_overshoot():
    for kind in ("random", "blob"):
        for size in ((20, 20), (170, 90)):
            resized = resize(mask_of(kind, 50, 50)[..., None], *size, LANCZOS)
            assert resized.min() >= 0 and resized.max() <= 1


@pytest.mark.parametrize("method", [LANCZOS, BILINEAR])
def test_resize_of_black_and_white_is_exact(method):
    for value in (0.0, 1.0):
        flat = torch.full((1, 37, 53, 1), value)
        for width, height in ((200, 150), (16, 24), (1, 1)):
            assert (resize(flat, width, height, method) == value).all()


@pytest.mark.parametrize(
    ("size", "least"),
    [((640, 480), 60), ((839, 1082), 60), ((1200, 300), 55), ((97, 211), 60)],
)
def test_smooth_pictures_come_back_close(size, least):
    """Untouched, through 512 and back: PSNR in dB."""
    picture = smooth_picture(*size)
    frame = fit_training_size(picture, 512)
    back = restore(to_working(picture, frame), frame)
    assert back.shape == picture.shape
    assert -10 * torch.log10((back - picture).square().mean()) > least


def test_framing_does_not_drift():
    """The centre of a spot is within a hundredth of the picture's side after there and back."""
    picture = torch.zeros(1, 307, 511, 3)
    picture[:, 80:120, 300:380] = 1
    frame = fit_training_size(picture, 128)
    back = restore(to_working(picture, frame), frame)
    for axis, centre in ((1, 99.5), (2, 339.5)):
        profile = back.sum([0, 3, 3 - axis])
        position = (profile * torch.arange(len(profile))).sum() / profile.sum()
        assert abs(position - centre) < 0.5


@pytest.mark.parametrize("scale", [0.5, 1.5, 2, 3])
def test_an_upscaled_edit_is_restored_to_the_same_framing(scale):
    picture = smooth_picture(500, 300)
    frame = fit_training_size(picture, 128)
    working = to_working(picture, frame)
    scaled = resize(
        working, round(frame.working_width * scale), round(frame.working_height * scale), LANCZOS
    )
    back = restore(scaled, frame)
    assert back.shape == picture.shape
    assert (back - picture).abs().mean() < 2 / 255


def test_an_upscale_rounded_to_cells_is_accepted_and_another_shape_is_not():
    frame = fit_training_size(picture_of(96, 60), 512)
    width, height = frame.working_width, frame.working_height
    assert (width, height) == (512, 320)
    upscaled = picture_of(round(width * 1.3 / 8) * 8, round(height * 1.3 / 8) * 8)
    assert upscaled.shape[1] * width != upscaled.shape[2] * height
    assert restore(upscaled, frame).shape == (1, 60, 96, 3)
    for size in ((height, width), (width, height + 8), (width, width)):
        with pytest.raises(ValueError, match=f"image is {size[0]} x {size[1]}, .*512 x 320"):
            restore(picture_of(*size), frame)


masks = st.sampled_from(["random", "grey", "blob", "black", "white"])


def mask_of(kind, width, height, seed=0):
    generator = torch.Generator().manual_seed(seed)
    noise = torch.rand(1, height, width, generator=generator)
    blob = torch.zeros(1, height, width)
    blob[:, height // 4 : height // 2 + 1, width // 3 : width // 2 + 1] = 1
    return {
        "random": (noise > 0.5).float(),
        "grey": (noise - 0.5).clamp(0) * 2,
        "blob": blob,
        "black": torch.zeros_like(noise),
        "white": torch.ones_like(noise),
    }[kind]


@given(
    small_sides,
    small_sides,
    masks,
    st.integers(0, 9),
    st.booleans(),
    st.sampled_from(sorted(fits)),
    st.sampled_from([1, 3, 4]),
    st.sampled_from([torch.float32, torch.float16, torch.float64]),
)
@settings(max_examples=150, deadline=None)
def test_outside_the_mask_every_bit_is_the_originals(
    width, height, kind, feather, match, fit, channels, dtype
):
    picture = picture_of(width, height, channels).to(dtype)
    frame = fits[fit](picture)
    edit = picture_of(frame.working_width, frame.working_height, seed=1)
    mask = mask_of(kind, width, height)
    before = [tensor.clone() for tensor in (picture, edit, mask)]
    restored = restore(edit, frame, mask, feather, match)
    assert restored.dtype == dtype and torch.isfinite(restored).all()
    outside = mask == 0
    kept = frames.as_rgb(picture)[outside]
    assert torch.equal(restored[..., :3][outside], kept)
    if channels == 4:
        assert torch.equal(restored[..., 3], picture[..., 3])
    else:
        assert restored.shape[-1] == 3
    for now, then in zip((picture, edit, mask), before, strict=True):
        assert torch.equal(now, then)


def test_white_mask_equals_no_mask_and_black_returns_the_original():
    picture = picture_of(50, 30)
    frame = fit_training_size(picture, 64)
    edit = picture_of(frame.working_width, frame.working_height, seed=1)
    for match in (False, True):
        whole = restore(edit, frame, None, 0, match)
        # A mask of another size is resized; white stays white.
        for mask in (torch.ones(1, 30, 50), torch.ones(1, 64, 64)):
            assert torch.equal(restore(edit, frame, mask, 5, match), whole)
        assert torch.equal(restore(edit, frame, torch.zeros(1, 64, 64), 5, match), picture)


def test_sixteen_bit_values_outside_the_mask_are_kept():
    levels = torch.arange(65536).reshape(1, 256, 256, 1).expand(-1, -1, -1, 3)
    picture = levels / 65535
    frame = fit_training_size(picture, 64)
    mask = mask_of("blob", 256, 256)
    restored = restore(picture_of(64, 64), frame, mask, 4)
    outside = mask == 0
    assert torch.equal((restored * 65535).round().long()[outside], levels[outside])


def test_many_edits_of_one_picture_and_many_pictures():
    one, three = picture_of(40, 30, 4), picture_of(40, 30, 4, batch=3)
    edits = picture_of(64, 48, batch=3, seed=1)
    mask = torch.cat([mask_of("blob", 40, 30), mask_of("random", 40, 30), mask_of("grey", 40, 30)])
    for original in (one, three):
        for some in (mask, mask[:1]):
            together = restore(edits, fit_training_size(original, 64), some, 3, True)
            for index in range(3):
                own = original[index : index + 1] if len(original) > 1 else original
                own_mask = some[index : index + 1] if len(some) > 1 else some
                alone = restore(
                    edits[index : index + 1], fit_training_size(own, 64), own_mask, 3, True
                )
                assert torch.equal(together[index : index + 1], alone)
    with pytest.raises(ValueError, match="image holds 2 pictures and the frame 3"):
        restore(edits[:2], fit_training_size(three, 64))
    with pytest.raises(ValueError, match="image holds 1 pictures and the frame 3"):
        restore(edits[:1], fit_training_size(three, 64))


@pytest.mark.parametrize("feather", [1, 4, 30])
@pytest.mark.parametrize("kind", ["random", "blob", "white"])
def test_feather_is_the_euclidean_distance_to_the_outside(kind, feather):
    mask = mask_of(kind, 41, 33)
    inside, outside = (mask[0] > 0).nonzero().float(), (mask[0] == 0).nonzero().float()
    expected = mask.clone()
    if len(outside):
        distance = torch.cdist(inside, outside).min(1).values
        expected[0][mask[0] > 0] = (distance / (feather + 1)).clamp(max=1)
    assert torch.allclose(feather_inward(mask, feather), expected, atol=1e-6)


def test_feather_of_a_grey_mask_starts_where_the_mask_does():
    mask = torch.zeros(1, 1, 9)
    mask[..., 2:] = 0.25
    ramp = torch.tensor([0, 0, 1, 2, 3, 4, 4, 4, 4]) / 4
    assert torch.allclose(feather_inward(mask, 3), mask * ramp)


def test_color_match_of_a_masked_edit_is_measured_outside_the_mask():
    picture = smooth_picture(64, 64) * 0.6 + 0.2
    frame = fit_keep_size(picture)
    mask = mask_of("blob", 64, 64)
    drifted = picture * 0.8 + 0.1
    edit = torch.where(mask[..., None] > 0, torch.tensor([0.9, 0.1, 0.1]), drifted)
    expected = torch.where(mask[..., None] > 0, (edit - 0.1) / 0.8, picture)
    restored = restore(edit, frame, mask, 0, True)
    assert torch.allclose(restored, expected.clamp(0, 1), atol=1e-5)


def test_color_match_undoes_a_drift_without_looking_at_the_edit():
    picture = smooth_picture(64, 64) * 0.6 + 0.2
    drifted = (picture * torch.tensor([0.8, 1.1, 0.9]) + torch.tensor([0.05, -0.04, 0.08])).clone()
    edit = drifted.clone()
    edit[:, 20:40, 20:40] = torch.tensor([1.0, 0.0, 0.0])
    unedited = torch.ones(1, 64, 64, dtype=torch.bool)
    unedited[:, 20:40, 20:40] = False
    matched = match_mean_std(edit, picture, unedited)
    assert torch.allclose(matched[unedited], picture[unedited], atol=1e-5)
    # The formula, on the whole picture.
    matched = match_mean_std(drifted, picture, torch.zeros_like(unedited))
    for channel in range(3):
        ours, given_, wanted = (t[..., channel] for t in (matched, drifted, picture))
        formula = (given_ - given_.mean()) / given_.std() * wanted.std() + wanted.mean()
        assert torch.allclose(ours, formula.clamp(0, 1), atol=1e-5)


def test_color_match_on_a_plain_backdrop_moves_the_mean_only():
    """A white backdrop has no contrast; dividing by what noise there is would flatten the edit."""
    picture = torch.full((1, 32, 32, 3), 0.9)
    edit = 0.85 + 0.01 * (picture_of(32, 32) - 0.5)
    edit[:, 8:24, 8:24] = picture_of(16, 16, seed=1) * 0.5
    unedited = torch.ones(1, 32, 32, dtype=torch.bool)
    unedited[:, 8:24, 8:24] = False
    matched = match_mean_std(edit, picture, unedited)
    shift = (matched - edit)[:, 8:24, 8:24]
    assert torch.allclose(shift, torch.full_like(shift, 0.05), atol=1e-3)


@given(small_sides, small_sides, st.sampled_from(sorted(fits)))
@settings(max_examples=50, deadline=None)
def test_latent_mask_frees_every_cell_that_the_mask_touches(width, height, fit):
    picture = picture_of(width, height)
    frame = fits[fit](picture)
    size = frame.working_height // 8, frame.working_width // 8
    for kind in ("black", "white"):
        mask = mask_of(kind, width, height)
        assert torch.equal(
            latent_mask(mask, frame, size), torch.full((1, 1, *size), float(kind == "white"))
        )
    mask = torch.zeros(1, height, width)
    mask[0, height // 2, width // 2] = 1
    assert latent_mask(mask, frame, size).max() > 0
    if fit == "keep size":
        cells = latent_mask(mask, frame, size)[0, 0]
        assert cells[(height // 2 + frame.top) // 8, (width // 2 + frame.left) // 8] == 1


def test_resized_mask_stays_within_its_range_and_keeps_its_outside():
    mask = mask_of("blob", 40, 40)
    big = resize_mask(mask, 400, 400)
    assert big.min() == 0 and big.max() == 1
    assert (big[:, :90] == 0).all() and (big[:, 220:] == 0).all()


@given(small_sides, small_sides, st.integers(0, 40), st.integers(0, 9), st.booleans(), st.data())
@settings(max_examples=100, deadline=None)
def test_around_a_mask_all_of_it_is_shown_and_nothing_else_is_touched(
    width, height, margin, feather, match, data
):
    left, top = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    right = data.draw(st.integers(min(width, left + 8), width))
    bottom = data.draw(st.integers(min(height, top + 8), height))
    mask = torch.zeros(1, height, width)
    mask[:, top:bottom, left:right] = 1
    picture = picture_of(width, height, 4)
    longest = max(right - left, bottom - top)
    if longest < min(8, width, height):
        with pytest.raises(ValueError, match=f"white in {longest} x {longest}"):
            fit_around_mask(picture, mask, margin, 64)
        return
    frame = fit_around_mask(picture, mask, margin, 64)
    x0, y0, x1, y1 = frame.box
    assert 0 <= x0 <= max(0, left - margin) and min(width, right + margin) <= x1 <= width
    assert 0 <= y0 <= max(0, top - margin) and min(height, bottom + margin) <= y1 <= height
    # As square as the picture allows.
    assert x1 - x0 == y1 - y0 or x1 - x0 == width or y1 - y0 == height
    edit = picture_of(frame.working_width, frame.working_height, seed=1)
    shown = torch.zeros(1, height, width, dtype=torch.bool)
    shown[:, y0:y1, x0:x1] = True
    for own, touched in ((mask, mask > 0), (None, shown)):
        restored = restore(edit, frame, own, feather, match)
        assert torch.equal(restored[~touched], picture[~touched])
        assert torch.equal(restored[..., 3], picture[..., 3])


def test_color_match_around_a_mask_is_measured_where_the_frame_shows_it_unedited():
    picture = smooth_picture(96, 96) * 0.6 + 0.2
    mask = torch.zeros(1, 96, 96)
    mask[:, 40:56, 40:56] = 1
    frame = fit_around_mask(picture, mask, 24, 64)
    assert frame.box == (16, 16, 80, 80)
    drifted = picture[:, 16:80, 16:80] * 0.8 + 0.1
    drifted[:, 24:40, 24:40] = torch.tensor([0.9, 0.1, 0.1])
    restored = restore(drifted, frame, mask, 0, True)
    red = (torch.tensor([0.9, 0.1, 0.1]) - 0.1) / 0.8
    assert torch.allclose(restored[0, 48, 48], red.clamp(0, 1), atol=1e-5)
    assert torch.equal(restored[mask == 0], picture[mask == 0])
