"""How large the working image is, for pictures of every size that people have."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from instruct_pix2pix.pictures.frame import (
    fit_keep_size,
    fit_training_size,
    training_size,
)

from .made import picture_of

sides = st.integers(1, 4000)
resolutions = st.sampled_from([64, 128, 256, 500, 512, 768, 1024])


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
