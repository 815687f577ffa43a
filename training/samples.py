"""What the model does now: the loss on pairs that are kept out, and pictures of them."""

from __future__ import annotations

import torch
from torch import Tensor

from ..samplers.guidance import combine_guidance
from .network import Trainable
from .step import Batch
from .stream import generator

# The noise levels of the held-out loss, evenly over the timesteps. Fixed, so that it is smooth.
TIMES = tuple(range(50, 1000, 100))


# Encoded texts [1, n, d] and SDXL's vector [1, m], None for other families.
Condition = tuple[Tensor, "Tensor | None"]


def held_out_batch(
    source: Tensor, target: Tensor, asked: Condition, null: Condition, number: int, taught: bool
) -> Batch:
    """One pair at fixed noise and fixed timesteps, with all of its conditions.

    source, target  [1, 4, h, w] mode not scaled, mean scaled
    asked, null     the instruction and the empty text
    number          of the pair: its noise follows from it
    taught          whether a frozen model has the answer
    """
    count, device = len(TIMES), source.device
    noise = torch.randn((count, *target.shape[1:]), generator=generator("held out", number))
    (text, vector), (null_text, null_vector) = asked, null
    return Batch(
        target=target.expand(count, -1, -1, -1),
        source=source.expand(count, -1, -1, -1),
        text=text.expand(count, -1, -1),
        null_text=null_text,
        noise=noise.to(device),
        times=torch.tensor(TIMES, device=device),
        chance=torch.ones(count, device=device),
        taught=torch.full((count,), taught, device=device),
        vector=None if vector is None else vector.expand(count, -1),
        null_vector=null_vector,
    )


@torch.no_grad()
def edit(
    net: Trainable,
    source: Tensor,
    texts: tuple[Tensor, Tensor],
    vectors: tuple[Tensor | None, Tensor | None],
    seed: int,
    text_cfg: float,
    image_cfg: float,
    steps: int = 20,
) -> Tensor:
    """The scaled latent [1, 4, h, w] of an edit, by Euler's method over evenly spread timesteps.

    source   [1, 4, h, w], not scaled
    texts    the instruction and the empty text, [1, n, d] each;  vectors  theirs for SDXL
    """
    device = net.alphas.device
    source, instruction, null = source.to(device), texts[0].to(device), texts[1].to(device)
    text = torch.cat([instruction, null, null])
    vector = None
    if vectors[0] is not None and vectors[1] is not None:
        vector = torch.cat([vectors[0], vectors[1], vectors[1]]).to(device)
    seen = torch.cat([source, source, torch.zeros_like(source)])
    sigmas = (1 / net.alphas - 1).sqrt()
    times = torch.linspace(len(sigmas) - 1, 0, steps).round().long().to(device)
    levels = torch.cat([sigmas[times], sigmas.new_zeros(1)])
    noise = torch.randn(source.shape, generator=generator("sample picture", seed))
    x = noise.to(device) * levels[0]
    for time, sigma, after in zip(times, levels[:-1], levels[1:], strict=True):
        scale = (sigma.square() + 1).sqrt()
        rows = torch.cat([(x / scale).expand(3, -1, -1, -1), seen], 1)
        output = net(rows, time.expand(3), text, vector).float()
        if net.prediction == "v":
            output = (output + x / scale * sigma) / scale  # v -> eps
        e2, e1, e0 = output.split(1)
        x = x + combine_guidance(e2, e1, e0, text_cfg, image_cfg) * (after - sigma)
    return x
