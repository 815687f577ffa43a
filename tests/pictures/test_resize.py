"""Resizing with Pillow's filters in floats."""

import numpy as np
import pytest
import torch
from instruct_pix2pix.pictures.frame import (
    BILINEAR,
    LANCZOS,
    resize,
    resize_mask,
)
from PIL import Image

from .made import mask_of, picture_of


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


def test_resized_mask_stays_within_its_range_and_keeps_its_outside():
    mask = mask_of("blob", 40, 40)
    big = resize_mask(mask, 400, 400)
    assert big.min() == 0 and big.max() == 1
    assert (big[:, :90] == 0).all() and (big[:, 220:] == 0).all()
