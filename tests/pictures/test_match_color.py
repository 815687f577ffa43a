"""The drift of colors that is undone."""

import torch
from instruct_pix2pix.pictures.frame import (
    fit_around_mask,
    fit_keep_size,
)
from instruct_pix2pix.pictures.restore import (
    match_mean_std,
    restore,
)

from .made import mask_of, picture_of, smooth_picture


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
