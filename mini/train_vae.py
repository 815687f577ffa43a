"""The first stage: pictures to 4 x (side / 8) x (side / 8) latents and back."""

import logging
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional

from . import media
from .data import FIRST_TRAINING_SEED, variants
from .drawing import one, stream
from .networks import build_vae
from .portraits import Portrait
from .recipe import Recipe
from .scenes import KINDS, Scene, paint, sample_scene
from .training import Average, Clock, Run, half_precision, run_workers, share

log = logging.getLogger(__name__)

# Added to the latents in training, in units of their spread: the decoder learns to bear
# the errors of the UNet, and near latents to mean near pictures.
LATENT_NOISE = 0.03
# What an error counts more in these regions: they are small, and people look at them first.
ATTENTION = {"face": 2, "makeup": 6, "eyewear": 2}
# Of the pictures so many are in an art medium.
MEDIA_SHARE = 0.3
# Pictures to a file of drawings, and of each of the three sorts that are held out.
DRAWN_AT_ONCE, HELD_OUT = 250, 12


def scene_to_keep(seed: int, medium: str | None = None) -> Scene:
    """One rendering of a seed's scene, of all kinds in turn; MEDIA_SHARE of them in a medium.

    medium  "drawing", "mosaic" or "media" (any other), in place of the share
    """
    rng = stream(seed, "drawing")
    group = variants(sample_scene(seed, KINDS[seed % len(KINDS)]))
    plain = [scene for scene in group if scene.medium == "drawing"]
    painted = [scene for scene in group if scene.medium != "drawing"]
    if medium == "mosaic":
        return one(rng, [s for s in painted if s.medium == "mosaic"] or painted)
    if medium is None:
        medium = "media" if rng.random() < MEDIA_SHARE else "drawing"
    return one(rng, painted if medium == "media" else plain)


def draw(scenes: list[Scene], side: int) -> tuple[np.ndarray, np.ndarray]:
    """The pictures, uint8 [n, side, side, 3], and what their errors count, uint8 [n, side, side]"""
    drawn, weights = [], np.ones((len(scenes), side, side), np.uint8)
    for weight, scene in zip(weights, scenes, strict=True):
        painting = paint(scene, side, list(ATTENTION) if isinstance(scene, Portrait) else ())
        drawn.append(media.apply(painting.pixels(), scene.medium))
        for name in painting.regions:
            weight[painting.region(name)] += ATTENTION[name]
    return np.stack(drawn), weights


def pictures(folder: Path, recipe: Recipe) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The training pictures and their weights, as `draw` gives them, DRAWN_AT_ONCE to a block.

    They are drawn once and kept in `folder`.
    """
    blocks = []
    for first in range(0, recipe.vae_pictures, DRAWN_AT_ONCE):
        path = folder / "pictures" / f"{first:06d}.npz"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            seeds = range(FIRST_TRAINING_SEED + first, FIRST_TRAINING_SEED + first + DRAWN_AT_ONCE)
            drawn, weights = draw([scene_to_keep(seed) for seed in seeds], recipe.resolution)
            fresh = path.with_suffix(".new.npz")
            np.savez_compressed(fresh, drawn=drawn, weights=weights)
            fresh.rename(path)
            log.info("drew %d pictures", first + DRAWN_AT_ONCE)
        with np.load(path) as file:
            blocks.append((file["drawn"], file["weights"]))
    return [drawn for drawn, _ in blocks], [weights for _, weights in blocks]


def held_out(side: int) -> dict[str, Tensor]:
    """Pictures that are never trained on: plain drawings, other media, mosaics."""
    scenes: dict[str, list[Scene]] = {"plain": [], "media": [], "mosaic": []}
    for (sort, group), medium in zip(scenes.items(), ("drawing", "media", "mosaic"), strict=True):
        seed = 0
        while len(group) < HELD_OUT:
            scene = scene_to_keep(seed, medium)
            if (scene.medium == "mosaic") == (sort == "mosaic"):
                group.append(scene)
            seed += 1
    return {sort: to_tensor(draw(group, side)[0]) for sort, group in scenes.items()}


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
    """The mean over pictures of the decibels, over a range of 2."""
    error = (a.clamp(-1, 1) - b).square().mean((1, 2, 3))
    return float((10 * torch.log10(4 / error)).mean())


def cut(
    blocks: tuple[list[np.ndarray], list[np.ndarray]],
    rng: np.random.Generator,
    side: int,
    count: int,
) -> tuple[Tensor, Tensor]:
    """`count` crops of `side` pixels at random places, half of them mirrored, and their weights."""
    crops: list[tuple[np.ndarray, np.ndarray]] = []
    for _ in range(count):
        block = int(rng.integers(len(blocks[0])))
        drawn, weights = blocks[0][block], blocks[1][block]
        i = int(rng.integers(len(drawn)))
        y, x = rng.integers(0, drawn.shape[1] - side + 1, 2)
        flip = rng.choice((1, -1))
        place = slice(y, y + side), slice(x, x + side)
        crops.append((drawn[i][place][:, ::flip], weights[i][place][:, ::flip]))
    pixels, counts = (np.stack(part) for part in zip(*crops, strict=True))
    return to_tensor(pixels), torch.from_numpy(counts)[:, None].float()


def train_vae(
    folder: Path, recipe: Recipe, workers: int, device: str, start: dict[str, Tensor] | None = None
) -> None:
    """Train encoder and decoder together: on quarters of pictures, and at last on whole ones.

    start  weights to begin with, instead of random ones
    """
    torch.manual_seed(recipe.seed)
    vae = build_vae().to(device, memory_format=torch.channels_last)
    if start is not None:
        vae.load_state_dict(start)
    optimizer = torch.optim.AdamW(
        vae.parameters(), lr=recipe.vae_rate, betas=(0.9, 0.99), weight_decay=1e-4
    )
    average = Average(vae, 0.999)
    clock = Clock(recipe.vae_steps)
    run = Run(folder, "vae", clock, {"vae": vae, "optimizer": optimizer, "average": average})
    if clock.done == 1:
        return
    share(vae, optimizer)
    blocks = pictures(folder, recipe)
    seen = {sort: batch.to(device) for sort, batch in held_out(recipe.resolution).items()}

    def measure() -> dict[str, float]:
        figures = {}
        with torch.no_grad(), half_precision(device):
            for sort, batch in seen.items():
                whole = functional_call(vae, average.weights, (batch,)).sample
                figures[sort] = round(psnr(whole.float(), batch), 3)
        return figures

    def work(rank: int) -> None:
        rng = np.random.default_rng([recipe.seed, clock.step, rank])
        torch.manual_seed(int(rng.integers(2**32)))
        losses: list[float] = []
        if rank == 0 and clock.step == 0:
            run.log(**measure())
        for _ in run.steps(rank):
            # A whole picture at a time where the rate falls: its norms see what inference shows.
            whole = clock.done > 0.7
            side, count = (recipe.resolution, 1) if whole else (recipe.resolution // 2, 4)
            target, weights = (part.to(device) for part in cut(blocks, rng, side, count))
            for group in optimizer.param_groups:
                group["lr"] = recipe.vae_rate * clock.rate()
            with half_precision(device):
                latents = vae.encode(target).latent_dist.mode()
                spread = latents.detach().float().std()
                latents = latents + LATENT_NOISE * spread * torch.randn_like(latents)
                output = vae.decode(latents).sample
            loss = reconstruction_loss(output.float(), target, weights)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            if rank == 0:
                average.update()
                losses.append(loss.item())
                if len(losses) == 200:
                    run.log(loss=round(float(np.mean(losses)), 5), **measure())
                    losses.clear()

    run_workers(work, workers)
    run.save()


def load_vae(folder: Path, device: str) -> AutoencoderKL:
    """The trained first stage, with the running mean of its weights."""
    state = torch.load(folder / "vae.pt", weights_only=True, map_location="cpu")
    vae = build_vae()
    vae.load_state_dict(state["parts"]["average"]["weights"])
    return vae.eval().to(device, memory_format=torch.channels_last)
