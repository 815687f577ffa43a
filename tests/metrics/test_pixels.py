"""Pixel distances against their closed forms and an independent SSIM."""

import math

import numpy as np
import pytest
import torch
from instruct_pix2pix.metrics.pixels import MOST_PSNR, l1, l2, psnr, ssim
from scipy.ndimage import gaussian_filter


def picture(seed: int, height: int = 20, width: int = 24) -> torch.Tensor:
    return torch.rand(2, height, width, 3, generator=torch.Generator().manual_seed(seed))


def test_distances_of_two_flat_pictures() -> None:
    a, b = torch.full((1, 4, 4, 3), 0.75), torch.full((1, 4, 4, 3), 0.25)
    assert l1(a, b).item() == pytest.approx(0.5)
    assert l2(a, b).item() == pytest.approx(0.25)
    assert psnr(a, b).item() == pytest.approx(10 * math.log10(4))


def test_each_picture_of_a_batch_has_its_own_value() -> None:
    a, b = picture(0), picture(1)
    for measure in (l1, l2, psnr, ssim):
        together = measure(a, b)
        assert together.shape == (2,)
        alone = torch.cat([measure(a[i : i + 1], b[i : i + 1]) for i in range(2)])
        torch.testing.assert_close(together, alone)


def test_a_mask_leaves_the_other_pixels_out() -> None:
    a = picture(0)
    b = a.clone()
    b[:, :10] = 1 - b[:, :10]  # an edit of the upper half
    where = torch.zeros(2, 20, 24, dtype=torch.bool)
    where[:, 10:] = True
    assert l1(a, b, where).tolist() == [0, 0]
    assert psnr(a, b, where).tolist() == [MOST_PSNR, MOST_PSNR]
    torch.testing.assert_close(l2(a, b, ~where), l2(a[:, :10], b[:, :10]))


def test_no_pixel_outside_the_mask_is_no_number() -> None:
    assert l1(picture(0), picture(1), torch.zeros(2, 20, 24)).isnan().all()


def ssim_by_scipy(a: np.ndarray, b: np.ndarray) -> float:
    """Wang et al. 2004 with scipy's Gaussian, cut at five pixels; places of whole windows only."""

    def blurred(values: np.ndarray) -> np.ndarray:
        return gaussian_filter(values, 1.5, truncate=5 / 1.5)[5:-5, 5:-5]

    values = []
    for x, y in zip(np.moveaxis(a, -1, 0), np.moveaxis(b, -1, 0), strict=True):
        mx, my = blurred(x), blurred(y)
        vx, vy, c = blurred(x * x) - mx * mx, blurred(y * y) - my * my, blurred(x * y) - mx * my
        luminance = (2 * mx * my + 0.0001) / (mx**2 + my**2 + 0.0001)
        values.append((luminance * (2 * c + 0.0009) / (vx + vy + 0.0009)).mean())
    return float(np.mean(values))


def test_ssim_is_that_of_the_paper() -> None:
    a = picture(0)
    b = (a + 0.2 * picture(1)).clamp(0, 1)
    expected = [
        ssim_by_scipy(x.double().numpy(), y.double().numpy()) for x, y in zip(a, b, strict=True)
    ]
    assert ssim(a, b).tolist() == pytest.approx(expected, abs=1e-6)
    assert ssim(a, a).tolist() == pytest.approx([1, 1])


def test_ssim_of_flat_pictures_is_the_luminance_term() -> None:
    a, b = torch.full((1, 16, 16, 3), 0.75), torch.full((1, 16, 16, 3), 0.25)
    expected = (2 * 0.75 * 0.25 + 1e-4) / (0.75**2 + 0.25**2 + 1e-4)
    assert ssim(a, b).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("measure", [l1, l2, psnr, ssim])
def test_sizes_that_differ_are_refused(measure) -> None:
    with pytest.raises(ValueError, match="one size"):
        measure(picture(0), picture(1, width=25))


def test_a_picture_smaller_than_the_window_is_refused() -> None:
    with pytest.raises(ValueError, match="24 x 8"):
        ssim(picture(0, height=8), picture(1, height=8))


def test_a_mask_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="mask"):
        l1(picture(0), picture(1), torch.ones(2, 5, 5))
