"""The first stage: pictures to 4 x (side / 8) x (side / 8) latents and back."""

import logging
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from .networks import RESOLUTION, build_vae
from .scenes import KINDS, render, sample_scene
from .training import Clock, Run

log = logging.getLogger(__name__)

# Added to the latents in training, in units of their spread: the decoder learns to bear
# the errors of the UNet, and near latents to mean near pictures.
LATENT_NOISE = 0.05
# Held-out scenes have seeds below this, training scenes above.
FIRST_TRAINING_SEED = 100_000


def pictures(count: int, first_seed: int) -> np.ndarray:
    """Portraits and landscapes in turn, uint8 [count, side, side, 3]."""
    scenes = (sample_scene(first_seed + i, KINDS[i % 2]) for i in range(count))
    return np.stack([render(scene, RESOLUTION) for scene in scenes])


def to_tensor(pixels: np.ndarray) -> Tensor:
    """uint8 [n, h, w, 3] in 0..255 -> float [n, 3, h, w] in -1..1"""
    batch = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1
    return batch.contiguous(memory_format=torch.channels_last)


def edges(x: Tensor) -> tuple[Tensor, Tensor]:
    return x[..., 1:, :] - x[..., :-1, :], x[..., :, 1:] - x[..., :, :-1]


def reconstruction_loss(output: Tensor, target: Tensor) -> Tensor:
    """Mean absolute and squared error, and that of the horizontal and vertical differences."""
    loss = functional.l1_loss(output, target) + 2 * functional.mse_loss(output, target)
    for a, b in zip(edges(output), edges(target), strict=True):
        loss = loss + functional.l1_loss(a, b)
    return loss


def psnr(a: Tensor, b: Tensor) -> float:
    """Decibels, over a range of 2."""
    return float(10 * torch.log10(4 / (a.clamp(-1, 1) - b).square().mean()))


def train_vae(
    folder: Path, minutes: float, count: int = 6000, seed: int = 0, compiled: bool = True
) -> None:
    """Train on 64 px crops for the first 60 % of the time, on whole pictures for the rest."""
    torch.manual_seed(seed)
    vae = build_vae().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(vae.parameters(), lr=1e-3, betas=(0.9, 0.99), weight_decay=1e-4)
    clock = Clock(minutes * 60)
    run = Run(folder, "vae", clock, {"vae": vae, "optimizer": optimizer})
    data = pictures(count, FIRST_TRAINING_SEED)
    held_out = to_tensor(pictures(32, 0))
    log.info("%d pictures, %d held out", len(data), len(held_out))

    def forward(x: Tensor) -> Tensor:
        latents = vae.encode(x).latent_dist.mode()
        noise = LATENT_NOISE * latents.detach().float().std() * torch.randn_like(latents)
        return vae.decode(latents + noise).sample

    step_forward = torch.compile(forward, dynamic=False) if compiled else forward
    for step in run:
        rng = np.random.default_rng([seed, step])
        crops = clock.spent < 0.6 * clock.budget
        batch = data[rng.integers(len(data), size=32 if crops else 8)]
        if crops:
            corners = rng.integers(0, RESOLUTION - 64 + 1, (len(batch), 2))
            batch = np.stack(
                [b[y : y + 64, x : x + 64] for b, (y, x) in zip(batch, corners, strict=True)]
            )
        if rng.random() < 0.5:
            batch = np.ascontiguousarray(batch[:, :, ::-1])
        target = to_tensor(batch)
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * clock.rate()
        with torch.autocast("cpu", torch.bfloat16):
            output = step_forward(target)
        loss = reconstruction_loss(output.float(), target)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if step % 100 == 0:
            with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
                whole = vae.decode(vae.encode(held_out).latent_dist.mode()).sample
            run.log(loss=loss.item(), psnr=psnr(whole.float(), held_out))
