"""The edit itself: the UNet and the text encoder, trained together on the encoded shards."""

import logging
import math
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDPMScheduler
from torch import Tensor, nn
from torch.nn import functional

from .networks import LATENT_SCALE, build_unet
from .recipe import Recipe
from .shards import Shard, is_drawn, load_shard
from .train_text import new_text_encoder
from .train_vae import to_tensor
from .training import Average, Clock, Run, Step, half_precision
from .vocabulary import Vocabulary

log = logging.getLogger(__name__)

# The spread that SD 1.x's raw latents have, so that LATENT_SCALE brings them to 1.
LATENT_SPREAD = 1 / LATENT_SCALE
# Of the pairs: no instruction, neither, no source. The paper's.
DROPOUT = 0.05
# Below this noise level a pair without an instruction may keep its half-made edit.
SETTLED = 2.0
# Pictures that are encoded at once.
ENCODED_AT_ONCE = 128
# The first pictures, to which the spread of latents and the colors of live previews are fitted.
MEASURED = 390
# Cells of the latent: what an edit changes counts as much as all the picture, unless it is less.
LEAST_AREA = 4
# Steps between two looks for shards that were drawn meanwhile, and between two lines of the log.
LOOK_EVERY, LOG_EVERY = 100, 200


@torch.no_grad()
def encode(vae: AutoencoderKL, pixels: Tensor) -> Tensor:
    """uint8 [n, h, w, 3] -> the posterior's mode [n, 4, h / 8, w / 8]"""
    latents = [
        vae.encode(to_tensor(some.to(vae.device))).latent_dist.mode()
        for some in pixels.split(ENCODED_AT_ONCE)
    ]
    return torch.cat(latents)


def scaling(folder: Path, vae: AutoencoderKL, pixels: Tensor) -> dict[str, Tensor]:
    """What brings latents to SD's spread around zero: (latents - mean) * scale; and preview colors.

    It is measured once, on the first pictures, and kept in the folder.
    """
    path = folder / "latents.pt"
    if not path.exists():
        pixels = pixels[:MEASURED]
        latents = encode(vae, pixels).cpu()
        mean = latents.mean((0, 2, 3), keepdim=True)
        scale = LATENT_SPREAD / (latents - mean).std()
        log.info("latents: mean %s, scale %.4f", mean.flatten().tolist(), scale)
        colors = preview_colors((latents - mean) * scale, to_tensor(pixels.cpu()))
        fresh = path.with_suffix(".new")
        torch.save({"mean": mean, "scale": scale, "colors": colors}, fresh)
        fresh.replace(path)
    return torch.load(path, weights_only=True)


class Edits:
    """The shards' latents and edits on the device, as far as they are drawn."""

    def __init__(self, folder: Path, recipe: Recipe, vae: AutoencoderKL):
        self.folder, self.recipe, self.vae = folder, recipe, vae
        device, side = vae.device, recipe.resolution // 8
        shard = load_shard(folder, 0)
        self.scaling = {
            name: value.to(device)
            for name, value in scaling(folder, vae, torch.from_numpy(shard.pictures)).items()
        }
        # Shards differ a little in size.
        most = int(1.1 * len(shard.pictures)) * recipe.shards
        self.latents = torch.empty(most, 4, side, side, dtype=torch.float16, device=device)
        self.links = torch.empty(recipe.shards * recipe.edits, 2, dtype=torch.long, device=device)
        rows = shard.rows.shape[1]
        self.rows = torch.empty(len(self.links), rows, dtype=torch.int16, device=device)
        several = shard.captions.shape[1]
        self.captions = torch.empty(most, several, rows, dtype=torch.int16, device=device)
        # Of edits and of pictures: on the device, so that a recorded step sees them grow.
        self.count = torch.zeros((), device=device)
        self.shown = torch.zeros((), device=device)
        self.brought = 0

    @property
    def pictures(self) -> int:
        return int(self.shown)

    def bring(self) -> None:
        """All shards that were drawn since the last time. Raises NotDrawn, as `is_drawn`."""
        while self.brought < self.recipe.shards and is_drawn(self.folder, self.brought):
            self.add(load_shard(self.folder, self.brought))
            self.brought += 1

    def add(self, shard: Shard) -> None:
        latents = encode(self.vae, torch.from_numpy(shard.pictures))
        latents = (latents - self.scaling["mean"]) * self.scaling["scale"]
        first, last = self.pictures, self.pictures + len(latents)
        self.latents[first:last] = latents.half()
        self.captions[first:last] = torch.from_numpy(shard.captions).to(self.captions)
        edits = slice(int(self.count), int(self.count) + len(shard.edits))
        self.links[edits] = first + torch.from_numpy(shard.edits).to(self.links)
        self.rows[edits] = torch.from_numpy(shard.rows).to(self.rows)
        self.shown.fill_(last)
        self.count.fill_(edits.stop)

    def draw(self, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """`count` edits: latents before and after [n, 4, h, w], and tokens [n, 77]."""
        index = (torch.rand(count, device=self.count.device) * self.count).long()
        source, target = self.links[index].unbind(1)
        return self.latents[source].float(), self.latents[target].float(), self.rows[index].long()

    def draw_captioned(self, count: int) -> tuple[Tensor, Tensor]:
        """`count` pictures: latents [n, 4, h, w], and the tokens of a caption of each [n, 77]."""
        random = torch.rand(2, count, device=self.shown.device)
        index = (random[0] * self.shown).long()
        which = (random[1] * self.captions.shape[1]).long()
        return self.latents[index].float(), self.captions[index, which].long()


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
    unet = build_unet().to(memory_format=torch.channels_last)
    return nn.ModuleDict({"unet": unet, "text": new_text_encoder(tokens)})


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


def drop(rows: Tensor, nothing: Tensor, chances: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Take the instruction, the source or both from DROPOUT of the pairs each.

    rows     the instructions' tokens [n, 77]
    nothing  those of no instruction [77]
    chances  [n], uniform in 0..1

    Returns the tokens; [n], 0 where the source is to be zeros; [n], 0 where the source comes
    without an instruction.
    """
    rows = torch.where(chances[:, None] < 2 * DROPOUT, nothing, rows)
    kept = (chances < DROPOUT) | (chances >= 3 * DROPOUT)
    return rows, kept.float(), (chances >= DROPOUT).float()


def noise_levels(device: torch.device | str = "cpu") -> Tensor:
    """Stable Diffusion's cumulated alphas [1000]."""
    scheduler = DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    levels: Tensor = scheduler.alphas_cumprod
    return levels.to(device)


def fit(run: Run, train: Step, edits: Edits) -> bool:
    """Take the run's steps, on all that is drawn meanwhile. Returns whether the stage is done."""
    edits.bring()
    log.info("%d pictures encoded", edits.pictures)
    for step in run.steps():
        if step % LOOK_EVERY == 0:
            edits.bring()
        train(run.clock.rate())
        if step % LOG_EVERY == LOG_EVERY - 1:
            run.log(loss=train.mean_loss(LOG_EVERY), pictures=edits.pictures)
    run.save()
    return run.clock.done == 1


def train_unet(
    folder: Path,
    recipe: Recipe,
    edits: Edits,
    vocabulary: Vocabulary,
    start: dict[str, Any],
    until: float = math.inf,
) -> bool:
    """Learn the edits. The folder holds the text encoder that can read.

    start  "unet", weights to begin with; or nothing
    until  when to stop, by `time.monotonic()`

    Returns whether the stage is done.
    """
    device = edits.count.device
    torch.manual_seed(recipe.seed)
    networks = build_networks(len(vocabulary))
    networks["text"].load_state_dict(torch.load(folder / "text.pt", weights_only=True))
    if "unet" in start:
        networks["unet"].load_state_dict(start["unet"])
    networks.to(device)
    parameters = [{"params": networks[name].parameters()} for name in ("unet", "text")]
    optimizer = torch.optim.AdamW(parameters, betas=(0.9, 0.99), weight_decay=1e-3, fused=True)
    average, clock = Average(networks), Clock(recipe.unet_steps, recipe.unet_minutes)
    parts = {"networks": networks, "optimizer": optimizer, "average": average}
    run = Run(folder, "unet", clock, parts, until)
    if clock.done == 1:
        return True
    torch.manual_seed(recipe.seed + clock.step)
    nothing, levels = vocabulary.rows([""])[0].to(device), noise_levels(device)

    def loss() -> Tensor:
        source, target, rows = edits.draw(recipe.unet_batch)
        chances = torch.rand(len(rows), device=device)
        rows, kept, asked = drop(rows, nothing, chances)
        return edit_loss(networks, levels, source, target, kept, asked, rows)

    step = Step(loss, optimizer, [recipe.unet_rate, recipe.text_rate], average)
    return fit(run, step, edits)
