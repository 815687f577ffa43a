"""The way into the working image and back out of it."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from instruct_pix2pix.pictures.frame import (
    LANCZOS,
    fit_keep_size,
    latent_mask,
    resize,
    to_original,
    to_working,
)

from .made import fits, mask_of, picture_of, small_sides


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
