"""The edit at the size and framing of the original, and the original where nothing changed."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from instruct_pix2pix.pictures.frame import (
    LANCZOS,
    as_rgb,
    fit_around_mask,
    fit_training_size,
    resize,
    to_working,
)
from instruct_pix2pix.pictures.restore import (
    restore,
)

from .made import fits, mask_of, picture_of, small_sides, smooth_picture

masks = st.sampled_from(["random", "grey", "blob", "black", "white"])


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
    kept = as_rgb(picture)[outside]
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
