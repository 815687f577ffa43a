"""The loss of InstructPix2Pix (Brooks et al. 2023, section 3.2), in torch alone.

    z_t = sqrt(a_t) z + sqrt(1 - a_t) eps
    L   = mean (eps - net([z_t, c], t, text))^2

As the authors' ddpm_edit.py and diffusers' train_instruct_pix2pix.py compute it. A frozen model may
answer in place of eps, as it predicts or under guidance (Meng et al. 2023, "On Distillation of
Guided Diffusion Models", the first stage, at two fixed scales).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ..samplers.guidance import Branches, branches_needed, combine_guidance

# What is left of a sample's conditions, in the order of the one number that decides it.
BRANCHES = ("no text", "neither", "no picture", "both")

Prediction = Literal["eps", "v"]
# ([z_t, c] [B, 8, h, w], t [B], text [B, n, d], vector [B, m] or None) -> [B, 4, h, w]
Network = Callable[[Tensor, Tensor, Tensor, "Tensor | None"], Tensor]


@dataclass(frozen=True)
class Batch:
    """What one step learns from.

    target  [B, 4, h, w] latents of the pictures after, scaled as the UNet sees them: a sample of
            the posterior
    source  [B, 4, h, w] latents of the pictures before, not scaled: the posterior's mode
    text    [B, n, d] encoded instructions;   null_text    [1, n, d] the encoded empty text
    vector  [B, m] SDXL's pooled text and sizes, else None;  null_vector  [B, m] of the empty text
    noise   [B, 4, h, w] standard normal
    times   [B] whole timesteps
    chance  [B] uniform in 0..1: which conditions a sample loses
    taught  [B] bool: samples whose answer is the teacher's
    """

    target: Tensor
    source: Tensor
    text: Tensor
    null_text: Tensor
    noise: Tensor
    times: Tensor
    chance: Tensor
    taught: Tensor
    vector: Tensor | None = None
    null_vector: Tensor | None = None


def dropped(chance: Tensor, dropout: float) -> tuple[Tensor, Tensor]:
    """Whether the text and whether the picture is dropped, two of [B], from one uniform number.

    Text below 2 p, picture from p to 3 p: so p of the samples lose the text, p both, p the picture.
    """
    return chance < 2 * dropout, (chance >= dropout) & (chance < 3 * dropout)


def branch_of(chance: Tensor, dropout: float) -> Tensor:
    """Index into BRANCHES, [B]."""
    text, image = dropped(chance, dropout)
    return torch.where(text, torch.where(image, 1, 0), torch.where(image, 2, 3))


def guided(
    teacher: Network,
    null_text: Tensor,
    null_vector: Tensor | None,
    text_cfg: float,
    image_cfg: float,
) -> Network:
    """`teacher` under dual guidance: a network whose answers are combined of its three branches.

    null_text    [1, n, d] the encoded empty text;  null_vector  [1, m] of it, for SDXL

    It holds for eps and for v alike: both are the same straight function of the denoised latent.
    """
    needed = branches_needed(text_cfg, image_cfg)

    def predict(seen: Tensor, times: Tensor, text: Tensor, vector: Tensor | None) -> Tensor:
        count = len(seen)
        no_image = torch.cat([seen[:, :4], torch.zeros_like(seen[:, 4:])], 1)
        null = null_text.expand(count, -1, -1)
        no_vector = None if null_vector is None else null_vector.expand(count, -1)
        every = Branches((seen, text, vector), (seen, null, no_vector), (no_image, null, no_vector))
        rows = [given for given, run in zip(every, needed, strict=True) if run]
        pictures, texts, vectors = zip(*rows, strict=True)
        answers = iter(
            teacher(
                torch.cat(pictures),
                times.repeat(len(rows)),
                torch.cat(texts),
                None if vector is None else torch.cat(vectors),
            ).split(count)
        )
        branches = Branches(*(next(answers) if run else None for run in needed))
        return combine_guidance(*branches, text_cfg, image_cfg)

    return predict


def edit_errors(
    net: Network,
    batch: Batch,
    alphas: Tensor,
    dropout: float = 0.05,
    prediction: Prediction = "eps",
    teacher: Network | None = None,
) -> Tensor:
    """The squared errors [B, 4, h, w], whose mean is the loss.

    alphas      [T] cumulated products of 1 - beta
    prediction  what the network predicts, "eps" or "v" = sqrt(a) eps - sqrt(1 - a) z
    teacher     answers for the samples that are `taught`, on what `net` is given: a frozen model,
                from which `net` then does not move away there
    """
    shape = (-1, 1, 1, 1)
    alpha = alphas[batch.times].view(shape)
    noisy = alpha.sqrt() * batch.target + (1 - alpha).sqrt() * batch.noise
    no_text, no_image = dropped(batch.chance, dropout)
    source = torch.where(no_image.view(shape), torch.zeros_like(batch.source), batch.source)
    text = torch.where(no_text.view(-1, 1, 1), batch.null_text, batch.text)
    vector = batch.vector
    if vector is not None and batch.null_vector is not None:
        vector = torch.where(no_text.view(-1, 1), batch.null_vector, vector)
    wanted = batch.noise
    if prediction == "v":
        wanted = alpha.sqrt() * batch.noise - (1 - alpha).sqrt() * batch.target
    seen = torch.cat([noisy, source], 1)
    if teacher is not None and batch.taught.any():
        rows = batch.taught
        with torch.no_grad():
            answer = teacher(
                seen[rows], batch.times[rows], text[rows], None if vector is None else vector[rows]
            )
        wanted = wanted.clone()
        wanted[rows] = answer.to(wanted)
    predicted = net(seen, batch.times, text, vector)
    return (predicted.float() - wanted.float()).square()
