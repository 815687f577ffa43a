"""Art media: the same picture in another hand, at any size, the same for the same seed."""

from itertools import combinations

import numpy as np
import pytest
from instruct_pix2pix.mini.landscapes import Landscape, paint
from instruct_pix2pix.mini.media import MEDIA, apply


def drawing(seed: int, size: int) -> np.ndarray:
    return paint(Landscape(seed), size).pixels()


@pytest.mark.parametrize("size", [33, 64, 128, 512])
@pytest.mark.parametrize("medium", MEDIA)
def test_a_medium_keeps_shape_and_type_and_leaves_its_source_alone(medium: str, size: int) -> None:
    source = drawing(1, size)
    before = source.copy()
    result = apply(source, medium)
    assert result.shape == source.shape and result.dtype == np.uint8
    np.testing.assert_array_equal(source, before)
    np.testing.assert_array_equal(result, apply(source, medium))


@pytest.mark.parametrize("seed", range(4))
def test_media_look_different_from_one_another(seed: int) -> None:
    results = {medium: apply(drawing(seed, 128), medium).astype(int) for medium in MEDIA}
    for one, other in combinations(MEDIA, 2):
        assert np.abs(results[one] - results[other]).mean() > 10, f"{one}, {other}"


def test_a_drawing_stays_as_it_is() -> None:
    np.testing.assert_array_equal(apply(drawing(2, 64), "drawing"), drawing(2, 64))


@pytest.mark.parametrize("medium", ["pencil sketch", "black and white"])
def test_pencil_and_black_and_white_have_no_color(medium: str) -> None:
    result = apply(drawing(2, 64), medium)
    assert (result == result[..., :1]).all()


def test_a_mosaic_has_flat_tiles_of_8_pixels_at_256() -> None:
    tiles = apply(drawing(2, 256), "mosaic").reshape(32, 8, 32, 8, 3)
    inner = tiles[:, 2:6, :, 2:6]
    assert (inner == inner[:, :1, :, :1]).all()


def test_a_watercolor_lies_in_a_white_margin() -> None:
    result = apply(drawing(2, 128), "watercolor")
    rim = np.concatenate([result[0], result[-1], result[:, 0], result[:, -1]])
    assert rim.min() > 235 > result[40:90, 40:90].mean()
