"""The first stage: pictures to 4 x (side / 8) x (side / 8) latents and back."""

import logging
import math
import threading
import time
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional

from .data import variants
from .drawing import one, stream
from .networks import build_vae
from .recipe import Recipe
from .scenes import KINDS, Scene, sample_scene
from .shards import NotDrawn, draw, is_drawn, load_shard
from .training import DEVICE, Average, Clock, Run, Step, averaged, half_precision

log = logging.getLogger(__name__)

# Added to the latents in training, in units of their spread: the decoder learns to bear
# the errors of the UNet, and near latents to mean near pictures.
LATENT_NOISE = 0.03
# Pictures of each of the three sorts that are held out.
HELD_OUT = 12


def scene_of(seed: int, medium: str) -> Scene:
    """One rendering of a held-out seed's scene, of all kinds in turn.

    medium  "drawing", "mosaic" or "media" (any other)
    """
    group = variants(sample_scene(seed, KINDS[seed % len(KINDS)]))
    painted = [scene for scene in group if scene.medium != "drawing"]
    found = {
        "drawing": [scene for scene in group if scene.medium == "drawing"],
        "mosaic": [scene for scene in painted if scene.medium == "mosaic"] or painted,
        "media": painted,
    }
    return one(stream(seed, "drawing"), found[medium])


def held_out(side: int) -> dict[str, Tensor]:
    """Pictures that are never trained on: plain drawings, other media, mosaics."""
    scenes: dict[str, list[Scene]] = {"plain": [], "media": [], "mosaic": []}
    for (sort, group), medium in zip(scenes.items(), ("drawing", "media", "mosaic"), strict=True):
        seed = 0
        while len(group) < HELD_OUT:
            scene = scene_of(seed, medium)
            if (scene.medium == "mosaic") == (sort == "mosaic"):
                group.append(scene)
            seed += 1
    return {sort: to_tensor(draw(group, side)[0]) for sort, group in scenes.items()}


def to_tensor(pixels: np.ndarray | Tensor) -> Tensor:
    """uint8 [n, h, w, 3] in 0..255 -> float [n, 3, h, w] in -1..1"""
    batch = torch.as_tensor(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1
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
    """The mean over pictures of the decibels, over a range of 2."""
    error = (a.clamp(-1, 1) - b).square().mean((1, 2, 3))
    return float((10 * torch.log10(4 / error)).mean())


class Pictures:
    """The first shards' pictures on the device, as far as they are drawn.

    A thread brings one shard after another, so that no training step waits for a file.
    """

    def __init__(self, folder: Path, recipe: Recipe, device: str):
        side = recipe.resolution
        self.folder, self.shards = folder, recipe.vae_shards
        while not is_drawn(folder, 0):
            time.sleep(0.2)
        # Shards differ a little in size.
        most = int(1.1 * len(load_shard(folder, 0).pictures)) * self.shards
        self.pixels = torch.empty(most, side, side, 3, dtype=torch.uint8, device=device)
        self.weights = torch.empty(most, side, side, dtype=torch.uint8, device=device)
        # On the device, so that a recorded step sees it grow.
        self.count = torch.zeros((), device=device)
        self.brought = 0
        self.missing: NotDrawn | None = None
        self.bring()
        self.bringing = threading.Thread(target=self.bring_all, daemon=True)
        self.bringing.start()

    def bring(self) -> None:
        """The next shard, once it is drawn."""
        while not is_drawn(self.folder, self.brought):
            time.sleep(0.2)
        shard = load_shard(self.folder, self.brought)
        with DEVICE:
            first = int(self.count)
            last = min(first + len(shard.pictures), len(self.pixels))
            self.pixels[first:last] = torch.from_numpy(shard.pictures[: last - first])
            self.weights[first:last] = torch.from_numpy(shard.weights[: last - first])
            self.count.fill_(last)
        self.brought += 1

    def bring_all(self) -> None:
        try:
            while self.brought < self.shards:
                self.bring()
        except NotDrawn as error:
            self.missing = error

    def check(self) -> None:
        """Raises NotDrawn, which the thread has met."""
        if self.missing:
            raise self.missing

    def cut(self, count: int, side: int) -> tuple[Tensor, Tensor]:
        """`count` crops of `side` pixels at random places, half of them mirrored, and weights."""
        device = self.count.device
        index = (torch.rand(count, device=device) * self.count).long()
        places = self.pixels.shape[1] - side + 1
        top, left = (torch.rand(2, count, device=device) * places).long()
        line = torch.arange(side, device=device)
        mirrored = torch.rand(count, device=device) < 0.5
        across = torch.where(mirrored[:, None], line.flip(0), line) + left[:, None]
        place = index[:, None, None], (line + top[:, None])[:, :, None], across[:, None, :]
        return to_tensor(self.pixels[place]), self.weights[place][:, None].float()


def train_vae(
    folder: Path,
    recipe: Recipe,
    device: str,
    start: dict[str, Tensor] | None = None,
    until: float = math.inf,
) -> bool:
    """Train encoder and decoder together: on quarters of pictures, and at last on whole ones.

    start  weights to begin with, instead of random ones
    until  when to stop, by `time.monotonic()`

    Returns whether the stage is done.
    """
    torch.manual_seed(recipe.seed)
    vae = build_vae()
    if start is not None:
        vae.load_state_dict(start)
    vae.to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(
        vae.parameters(), betas=(0.9, 0.99), weight_decay=1e-4, fused=True
    )
    average, clock = Average(vae), Clock(recipe.vae_steps, recipe.vae_minutes)
    parts = {"vae": vae, "optimizer": optimizer, "average": average}
    run = Run(folder, "vae", clock, parts, until)
    if clock.done == 1:
        return True
    torch.manual_seed(recipe.seed + clock.step)
    seen = {sort: batch.to(device) for sort, batch in held_out(recipe.resolution).items()}
    pictures = Pictures(folder, recipe, device)

    def measure() -> dict[str, float]:
        figures = {}
        with torch.no_grad(), half_precision(device):
            for sort, batch in seen.items():
                whole = functional_call(vae, average.weights, (batch,)).sample
                figures[sort] = round(psnr(whole.float(), batch), 3)
        return figures

    def loss(count: int, side: int) -> Tensor:
        target, weights = pictures.cut(count, side)
        with half_precision(device):
            latents = vae.encode(target).latent_dist.mode()
            spread = latents.detach().float().std()
            latents = latents + LATENT_NOISE * spread * torch.randn_like(latents)
            output = vae.decode(latents).sample
        return reconstruction_loss(output.float(), target, weights)

    rates, side, count = [recipe.vae_rate], recipe.resolution, recipe.vae_batch
    quarters = Step(lambda: loss(4 * count, side // 2), optimizer, rates, average)
    # Whole pictures where the rate falls: their norms see what inference shows.
    wholes = Step(lambda: loss(count, side), optimizer, rates, average)
    if clock.step == 0:
        run.log(**measure())
    for step in run.steps():
        pictures.check()
        train = wholes if clock.done > 0.7 else quarters
        train(clock.rate())
        if step % 500 == 499:
            run.log(loss=train.mean_loss(500), **measure())
    run.save()
    return clock.done == 1


def load_vae(folder: Path, device: str) -> AutoencoderKL:
    """The trained first stage, with the running mean of its weights."""
    vae = build_vae()
    vae.load_state_dict(averaged(folder, "vae"))
    return vae.eval().to(device, memory_format=torch.channels_last)
