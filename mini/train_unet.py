"""The edit itself: the UNet and the text encoder, trained together on the encoded scenes."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, DDPMScheduler
from torch import Tensor, nn
from torch.nn import functional

from .data import FIRST_TRAINING_SEED, Pair, Pairs, groups
from .networks import LATENT_SCALE, build_unet
from .recipe import Recipe
from .scenes import render
from .train_text import new_text_encoder, train_text
from .train_vae import load_vae, to_tensor
from .training import Average, Clock, Run, half_precision, run_workers, share

log = logging.getLogger(__name__)

# The spread that SD 1.x's raw latents have, so that LATENT_SCALE brings them to 1.
LATENT_SPREAD = 1 / LATENT_SCALE
# Of the pairs: no instruction, neither, no source. The paper's.
DROPOUT = 0.05
BATCH = 12
# The noise level below which whoever is asked nothing may also meet an edit that is half made.
SETTLED = 2.0
# Of so many scenes one is drawn again to fit the colors of live previews.
SHOWN_EVERY = 100
# Scenes to a file of latents.
ENCODED_AT_ONCE = 480
# Cells of the latent: what an edit changes counts as much as all the picture, unless it is less.
LEAST_AREA = 4


@torch.no_grad()
def encode(vae: AutoencoderKL, pixels: np.ndarray) -> Tensor:
    """uint8 [n, h, w, 3] -> the posterior's mode [n, 4, h / 8, w / 8]"""
    return vae.encode(to_tensor(pixels).to(vae.device)).latent_dist.mode().cpu()


def encode_scenes(folder: Path, recipe: Recipe, workers: int, device: str) -> None:
    """Render every training scene and keep its latent, brought to SD's spread around zero.

    What an earlier start has encoded is kept, a file for ENCODED_AT_ONCE scenes.
    """
    if (folder / "latents.pt").exists():
        return
    vae = load_vae(folder, device)
    side = recipe.resolution
    scenes = [s for group in groups(recipe.scenes, FIRST_TRAINING_SEED) for s in group]
    (folder / "latents").mkdir(exist_ok=True)
    paths = {
        start: folder / "latents" / f"{start:06d}.pt"
        for start in range(0, len(scenes), ENCODED_AT_ONCE)
    }

    def work(rank: int) -> None:
        for start in list(paths)[rank::workers]:
            if not paths[start].exists():
                some = scenes[start : start + ENCODED_AT_ONCE]
                drawn = [
                    np.stack([render(s, side) for s in some[i : i + 16]])
                    for i in range(0, len(some), 16)
                ]
                fresh = paths[start].with_suffix(".new")
                torch.save(torch.cat([encode(vae, batch) for batch in drawn]).half(), fresh)
                fresh.rename(paths[start])
                log.info("%d of %d scenes encoded", start + len(some), len(scenes))

    run_workers(work, workers)
    latents = torch.cat([torch.load(path, weights_only=True) for path in paths.values()]).float()
    mean = latents.mean((0, 2, 3), keepdim=True)
    scale = LATENT_SPREAD / (latents - mean).std()
    log.info("%d latents, mean %s, scale %.4f", len(latents), mean.flatten().tolist(), scale)
    latents = (latents - mean) * scale
    shown = np.stack([render(scene, side) for scene in scenes[::SHOWN_EVERY]])
    colors = preview_colors(latents[::SHOWN_EVERY], to_tensor(shown))
    state = {"latents": latents.half(), "mean": mean, "scale": scale, "colors": colors}
    torch.save(state, folder / "latents.new")
    (folder / "latents.new").rename(folder / "latents.pt")


def preview_colors(latents: Tensor, pictures: Tensor) -> Tensor:
    """What turns scaled latents into colors at an eighth of the size, for live previews.

    latents   raw [n, 4, h / 8, w / 8]
    pictures  [n, 3, h, w] in -1..1

    Returns the least squares fit [5, 3]: a row for each channel, and one to add.
    """
    cells = (LATENT_SCALE * latents).movedim(1, -1).flatten(0, 2)
    seen = functional.avg_pool2d(pictures, 8).movedim(1, -1).flatten(0, 2)
    return torch.linalg.lstsq(functional.pad(cells, (0, 1), value=1.0), seen).solution


def build_networks(tokens: int) -> nn.ModuleDict:
    return nn.ModuleDict({"unet": build_unet(), "text": new_text_encoder(tokens)})


def loss_weights(sigmas: Tensor) -> Tensor:
    """What the squared error of the noise counts at each noise level.

    Below 1 as min-SNR-5 (Hang et al. 2023), less where there is little noise; above 1 more, as
    there the guided sampler settles colors from small differences of the prediction.
    """
    return (5 * sigmas.square()).clamp(max=1) * sigmas.clamp(1, 8)


def tints(like: Tensor) -> Tensor:
    """Smooth noise beside the white (offset and pyramid noise, Guttenberg 2023, Whitaker 2023).

    Strong guidance drifts in color. With this the model does not take the colors of a half-made
    picture for settled, but looks them up in the source and in the instruction.
    """
    height, width = like.shape[-2:]
    spots = torch.randn(*like.shape[:2], 4, 4, device=like.device)
    spots = functional.interpolate(spots, (height, width), mode="bilinear", align_corners=True)
    return 0.25 * (torch.randn(*like.shape[:2], 1, 1, device=like.device) + spots)


def edit_loss(
    networks: nn.ModuleDict,
    noise_levels: Tensor,
    source: Tensor,
    target: Tensor,
    kept: Tensor,
    asked: Tensor,
    rows: Tensor,
) -> Tensor:
    """The weighted error of the predicted noise, over the picture and over what the edit changes.

    A lipstick is two cells of 256: in the mean over the picture alone it would hardly count.

    Without an instruction the model gives the source back. Else it would learn
    the mean of all edits, and guidance would start from there. But of the pairs with little noise
    half keep their edit: there the noisy picture tells what it is, so what was begun is finished
    with or without the words, and strong guidance stops pushing further.

    noise_levels  the scheduler's cumulated alphas [1000]
    source        raw latents [n, 4, h, w]
    target        raw latents [n, 4, h, w]
    kept          [n], 0 where the source is dropped
    asked         [n], 0 where the instruction is dropped and the source is not
    rows          the instructions' tokens [n, 77]
    """
    step = torch.randint(0, len(noise_levels), (len(target),), device=target.device)
    alpha = noise_levels[step][:, None, None, None]
    sigmas = (1 / alpha - 1).sqrt()
    half_made = (sigmas < SETTLED) & (torch.rand_like(sigmas) < 0.5)
    target = torch.where((asked[:, None, None, None] > 0) | half_made, target, source)
    noise = torch.randn_like(target) + tints(target)
    noisy = alpha.sqrt() * LATENT_SCALE * target + (1 - alpha).sqrt() * noise
    context = networks["text"](rows).last_hidden_state
    seen = source * kept[:, None, None, None]
    with half_precision(target.device.type):
        predicted = networks["unet"](torch.cat([noisy, seen], 1), step, context).sample.float()
    changed = (LATENT_SCALE * (target - source)).abs().amax(1, keepdim=True) > 0.25
    error = (predicted - noise).square().mean(1, keepdim=True)
    area = changed.sum((1, 2, 3)).clamp(min=LEAST_AREA)
    errors = error.mean((1, 2, 3)) + (changed * error).sum((1, 2, 3)) / area
    return (loss_weights(sigmas.flatten()) * errors).mean()


def without(chances: np.ndarray, pairs: list[Pair]) -> tuple[list[Pair], Tensor, Tensor]:
    """Take the instruction, the source or both from DROPOUT of the pairs each.

    chances  [n], uniform in 0..1

    Returns the pairs; [n], 0 where the source is to be zeros; [n], 0 where of a source alone
    nothing is asked.
    """
    left = [
        replace(pair, instruction="") if chance < 2 * DROPOUT else pair
        for chance, pair in zip(chances, pairs, strict=True)
    ]
    kept = (chances < DROPOUT) | (chances >= 3 * DROPOUT)
    asked = chances >= DROPOUT
    return left, torch.from_numpy(kept).float(), torch.from_numpy(asked).float()


def train_unet(
    folder: Path, recipe: Recipe, workers: int, device: str, start: dict[str, Any]
) -> None:
    """Learn the edits.

    start  "unet" and "text", weights to begin with; or nothing
    """
    torch.manual_seed(recipe.seed)
    clock = Clock(recipe.unet_steps)
    pairs = Pairs(groups(recipe.scenes, FIRST_TRAINING_SEED))
    vocabulary = train_text(folder, pairs, start.get("text"), seed=recipe.seed)
    latents = torch.load(folder / "latents.pt", weights_only=True)["latents"]
    networks = build_networks(len(vocabulary))
    networks["text"].load_state_dict(torch.load(folder / "text.pt", weights_only=True))
    if "unet" in start:
        networks["unet"].load_state_dict(start["unet"])
    networks.to(device)
    optimizer = torch.optim.AdamW(
        [
            {"params": networks["unet"].parameters(), "lr": recipe.unet_rate},
            {"params": networks["text"].parameters(), "lr": recipe.text_rate},
        ],
        betas=(0.9, 0.99),
        weight_decay=1e-3,
    )
    rates = [group["lr"] for group in optimizer.param_groups]
    average = Average(networks)
    parts = {"networks": networks, "optimizer": optimizer, "average": average}
    run = Run(folder, "unet", clock, parts)
    share(networks, optimizer)
    noise_levels = DDPMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear"
    ).alphas_cumprod.to(device)
    log.info("%d tokens, %d latents", len(vocabulary), len(latents))

    def work(rank: int) -> None:
        rng = np.random.default_rng([recipe.seed, clock.step, rank])
        torch.manual_seed(int(rng.integers(2**32)))
        losses: list[float] = []
        for _ in run.steps(rank):
            drawn = [pairs.draw(rng) for _ in range(BATCH)]
            batch, kept, asked = without(rng.random(BATCH), drawn)
            source = latents[[pair.source for pair in batch]].to(device, torch.float32)
            target = latents[[pair.target for pair in batch]].to(device, torch.float32)
            rows = vocabulary.rows([pair.instruction for pair in batch]).to(device)
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * clock.rate()
            loss = edit_loss(
                networks, noise_levels, source, target, kept.to(device), asked.to(device), rows
            )
            loss.backward()
            torch.nn.utils.clip_grad_norm_(networks.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            if rank == 0:
                average.update()
                losses.append(loss.item())
                if len(losses) == 50:
                    run.log(loss=round(float(np.mean(losses)), 5))
                    losses.clear()

    run_workers(work, workers)
    run.save()
