"""Pictures and masks from fixed seeds, of any size."""

import torch
from hypothesis import strategies as st
from instruct_pix2pix.pictures.frame import fit_keep_size, fit_training_size

small_sides = st.integers(1, 70)
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
