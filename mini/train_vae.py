"""The first stage: pictures to 4 x (side / 8) x (side / 8) latents and back."""

import logging
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn
from torch.nn import functional

from .data import FIRST_TRAINING_SEED, variants
from .drawing import one, stream
from .networks import DEVICE, RESOLUTION, VAE_DDCONFIG, build_vae
from .portraits import Portrait
from .scenes import KINDS, paint, render, sample_scene
from .training import Clock, Run, run_workers, share

log = logging.getLogger(__name__)

# Added to the latents in training, in units of their spread: the decoder learns to bear
# the errors of the UNet, and near latents to mean near pictures.
LATENT_NOISE = 0.05
PEAK_RATE = 1.5e-3
# What an error counts more in these regions: they are small, and people look at them first.
ATTENTION = {"face": 2.0, "makeup": 8.0, "eyewear": 1.0}
# Of the pictures so many are in an art medium: textures are the hardest to keep.
MEDIA_SHARE = 0.3


def pictures(count: int, first_seed: int) -> tuple[np.ndarray, np.ndarray]:
    """One rendering of each scene, of all kinds in turn, and what its pixels' errors count.

    Returns uint8 [count, side, side, 3] and float16 [count, side, side, 1], 1 or more.
    """
    drawings, weights = [], []
    for seed in range(first_seed, first_seed + count):
        rng = stream(seed, "drawing")
        group = variants(sample_scene(seed, KINDS[seed % len(KINDS)]))
        painted = [scene for scene in group if scene.medium != "drawing"]
        group = painted if painted and rng.random() < MEDIA_SHARE else group
        scene = one(rng, group)
        drawings.append(render(scene, RESOLUTION))
        weight = np.ones((RESOLUTION, RESOLUTION, 1), np.float16)
        if isinstance(scene, Portrait):
            painting = paint(scene, RESOLUTION, list(ATTENTION))
            for name, extra in ATTENTION.items():
                weight[painting.region(name)] += np.float16(extra)
        weights.append(weight)
    return np.stack(drawings), np.stack(weights)


def to_tensor(pixels: np.ndarray) -> Tensor:
    """uint8 [n, h, w, 3] in 0..255 -> float [n, 3, h, w] in -1..1"""
    batch = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1
    return batch.contiguous(memory_format=torch.channels_last)


def edges(x: Tensor) -> tuple[Tensor, Tensor]:
    return x[..., 1:, :] - x[..., :-1, :], x[..., :, 1:] - x[..., :, :-1]


def reconstruction_loss(output: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Mean absolute and squared error, and that of the horizontal and vertical differences.

    output, target  [n, 3, h, w]
    weights         [n, 1, h, w], what the errors themselves count
    """
    error = (output - target).abs()
    loss = (weights * (error + 2 * error.square())).mean()
    for a, b in zip(edges(output), edges(target), strict=True):
        loss = loss + functional.l1_loss(a, b)
    return loss


def psnr(a: Tensor, b: Tensor) -> float:
    """Decibels, over a range of 2."""
    return float(10 * torch.log10(4 / (a.clamp(-1, 1) - b).square().mean()))


class Sketch(nn.Module):
    """Reads a whole picture off the decoder's features at half its size, 2 x 2 pixels from each.

    Only for training: two thirds of the decoder's work is at the full size, and the latents
    and all levels below it are learned three times as fast without.
    """

    def __init__(self, width: int):
        super().__init__()
        self.head = nn.Sequential(
            nn.GroupNorm(32, width), nn.SiLU(), nn.Conv2d(width, 12, 3, padding=1)
        )

    def forward(self, vae: AutoencoderKL, latents: Tensor) -> Tensor:
        decoder = vae.decoder
        features = decoder.mid_block(decoder.conv_in(vae.post_quant_conv(latents)))
        for block in decoder.up_blocks[:-2]:
            features = block(features)
        for resnet in decoder.up_blocks[-2].resnets:
            features = resnet(features, temb=None)
        return functional.pixel_shuffle(self.head(features), 2)


def train_vae(
    folder: Path, minutes: float, workers: int, finishing: bool, count: int = 6000, seed: int = 0
) -> None:
    """Train the encoder and the decoder up to half size, or else, `finishing`, all the decoder.

    The finishing leaves the encoder as it is, so that latents made with it stay good.
    """
    torch.manual_seed(seed)
    vae = build_vae().to(DEVICE, memory_format=torch.channels_last)
    sketch = Sketch(VAE_DDCONFIG["ch"]).to(DEVICE)
    clock = Clock(minutes * 60)
    if finishing:
        first = torch.load(folder / "sketch.pt", weights_only=True)["parts"]["networks"]
        vae.load_state_dict({k[4:]: v for k, v in first.items() if k.startswith("vae.")})
        networks = nn.ModuleDict({"vae": vae})
        vae.encoder.requires_grad_(False)
        vae.quant_conv.requires_grad_(False)
    else:
        networks = nn.ModuleDict({"vae": vae, "sketch": sketch})
    trained = [weight for weight in networks.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=PEAK_RATE, betas=(0.9, 0.99), weight_decay=1e-4)
    parts = {"networks": networks, "optimizer": optimizer}
    run = Run(folder, "vae" if finishing else "sketch", clock, parts)
    share(networks, optimizer)
    data, attention = pictures(count, FIRST_TRAINING_SEED)
    held_out = to_tensor(pictures(16, 0)[0]).to(DEVICE)
    log.info("%d pictures, %d held out", len(data), len(held_out))

    def decode(latents: Tensor) -> Tensor:
        return vae.decode(latents).sample if finishing else sketch(vae, latents)

    def work(rank: int) -> None:
        rng = np.random.default_rng([seed, clock.step, rank])
        torch.manual_seed(int(rng.integers(2**32)))
        for turn, _ in enumerate(run.steps(rank)):
            crops = clock.done < 0.6
            side = RESOLUTION // 2 if crops else RESOLUTION
            places = [
                (i, *rng.integers(0, RESOLUTION - side + 1, 2), rng.choice((1, -1)))
                for i in rng.integers(len(data), size=8 if crops else 2)
            ]
            cut = [
                np.stack([a[i, y : y + side, x : x + side][:, ::flip] for i, y, x, flip in places])
                for a in (data, attention)
            ]
            target = to_tensor(cut[0]).to(DEVICE)
            weights = torch.from_numpy(cut[1]).permute(0, 3, 1, 2).float().to(DEVICE)
            for group in optimizer.param_groups:
                group["lr"] = PEAK_RATE * clock.rate()
            with torch.autocast(DEVICE, torch.bfloat16):
                latents = vae.encode(target).latent_dist.mode()
                spread = latents.detach().float().std()
                latents = latents + LATENT_NOISE * spread * torch.randn_like(latents)
                output = decode(latents)
            loss = reconstruction_loss(output.float(), target, weights)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            optimizer.zero_grad()
            if rank == 0 and turn % 100 == 99:
                with torch.no_grad(), torch.autocast(DEVICE, torch.bfloat16):
                    whole = decode(vae.encode(held_out).latent_dist.mode())
                run.log(loss=loss.item(), psnr=psnr(whole.float(), held_out))

    run_workers(work, workers)
    run.save()
