"""Picture pairs from two captions: Prompt-to-Prompt as the authors of InstructPix2Pix used it.

Both pictures start from one noise and take the same random steps; while p > i / (steps - 1), the
second takes the self-attention of the first: its queries and keys, not its values. Only
SELF-attention is shared (instruct-pix2pix, dataset_creation), in all layers and in both branches of
plain guidance. So the first picture is what KSampler draws with that caption, seed and cfg.
"""

from __future__ import annotations

import inspect
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import comfy.k_diffusion.sampling
import comfy.model_management
import comfy.sample
import comfy.samplers
import torch
from comfy.ldm.modules.attention import BasicTransformerBlock
from torch import Tensor

# These choose their steps by the whole batch, or draw noise that is correlated in time.
UNSHARED = ("dpm_fast", "dpm_adaptive", "_sde")
Callback = Callable[[int, Tensor, Tensor, int], None]


@dataclass(frozen=True)
class Draw:
    """What one pair is drawn with.

    seed  of the noise
    swap  the authors' p, 0..1: up to which part of the steps self-attention is shared
    cfg   the guidance scale of both pictures
    """

    seed: int
    swap: float
    cfg: float


def draws(seed: int, count: int, swap: tuple[float, float], cfg: tuple[float, float]) -> list[Draw]:
    """`count` draws with the seeds `seed`, `seed` + 1, ...; swap and cfg uniform in their ranges.

    Each depends on its own seed alone, so that a pair can be drawn again without the others.
    """
    found = []
    for number in range(count):
        own = (seed + number) % 2**64
        numbers = random.Random(own)
        found.append(
            Draw(
                own,
                swap[0] + numbers.random() * (swap[1] - swap[0]),
                cfg[0] + numbers.random() * (cfg[1] - cfg[0]),
            )
        )
    return found


class SharedSelfAttention:
    """A patch of self-attention for batches of pairs: rows 2 i before and 2 i + 1 after.

    swaps  the p of each pair of the batch

    Queries and keys are linear in what the patch returns, so giving the second row the first one's
    input to both is the same as copying its attention scores, and no map is ever held.
    """

    def __init__(self, swaps: Sequence[float]) -> None:
        self.swaps = list(swaps)

    def __call__(
        self, n: Tensor, context: Tensor, value: Tensor, options: dict[str, Any]
    ) -> tuple[Tensor, Tensor, Tensor]:
        pairs = len(self.swaps)
        chunks = len(options["cond_or_uncond"])
        if len(n) != chunks * 2 * pairs:
            raise ValueError(
                f"Prompt-to-Prompt: {len(n)} rows arrived for {chunks} parts of {pairs} pairs. "
                "Pairs lie one behind the other in a batch, before and after."
            )
        active = shared_at(self.swaps, options["sigmas"][0], options["sample_sigmas"])
        if not any(active):
            return n, context, value
        after = [2 * (chunk * pairs + i) + 1 for chunk in range(chunks) for i in range(pairs)]
        after = [row for row, on in zip(after, active * chunks, strict=True) if on]
        before = [row - 1 for row in after]
        n, context = n.clone(), context.clone()
        n[after], context[after] = n[before], context[before]
        return n, context, value


def shared_at(swaps: Sequence[float], sigma: Tensor, sigmas: Tensor) -> list[bool]:
    """Whether self-attention is shared at a noise level, for each p: p > i / (steps - 1).

    sigma   the level now; between two of the schedule it belongs to the nearer
    sigmas  [steps + 1] of the run, the last one 0
    """
    starts = sigmas[:-1]
    step = int((starts - sigma.to(starts)).abs().argmin())
    progress = step / max(len(starts) - 1, 1)
    return [swap > progress for swap in swaps]


def check_pair_model(model: Any) -> None:
    """Raise ValueError for a model without its own self-attention, or that wants a picture."""
    network = model.model.diffusion_model
    if not any(isinstance(module, BasicTransformerBlock) for module in network.modules()):
        raise ValueError(
            f"model: {type(model.model).__name__} has no self-attention apart from that between "
            "picture and text, so there is nothing to share. Load a Stable Diffusion 1.x, 2.x or "
            "SDXL checkpoint."
        )
    channels = model.model.model_config.unet_config.get("in_channels")
    if channels != 4:
        raise ValueError(
            f"model: this one has {channels} input channels, so it draws from a picture or a mask. "
            "Pairs are drawn from captions alone: load a text-to-image checkpoint (4 channels), "
            "not an InstructPix2Pix or inpainting one."
        )


def check_sampler(name: str) -> None:
    """Raise ValueError for a sampler that would not treat the pictures of a pair alike."""
    if any(part in name for part in UNSHARED) and name != "er_sde":
        raise ValueError(
            f"sampler_name: {name} draws noise that the two pictures of a pair cannot share, or "
            "takes steps that depend on the other pictures. Use euler_ancestral, euler or "
            "dpmpp_2m."
        )


def paired(first: Any, second: Any) -> list[Any]:
    """One CONDITIONING of two, row by row, which ComfyUI repeats over a batch of pairs.

    Texts of different length are repeated to a common one: the softmax over keys that are all
    there equally often is the same.
    """
    (a, told), (b, also) = first[0], second[0]
    length = math.lcm(a.shape[1], b.shape[1])
    both = torch.cat([text.repeat(1, length // text.shape[1], 1) for text in (a, b)])
    options = dict(told)
    if told.get("pooled_output") is not None:
        options["pooled_output"] = torch.cat([told["pooled_output"], also["pooled_output"]])
    return [[both, options]]


def draw_pairs(
    model: Any,
    before: Any,
    after: Any,
    negative: Any,
    chosen: Sequence[Draw],
    start: Tensor,
    steps: int,
    sampler_name: str,
    scheduler: str,
    denoise: float = 1.0,
    callback: Callback | None = None,
) -> Tensor:
    """Sample pairs; their latents [n, 2, C, h, w], before and after.

    before, after, negative  CONDITIONING of one text each
    chosen                   one draw for each of the n pairs, which are one batch
    start                    [1, C, h, w]: zeros, or the latent of a picture for `denoise` below 1

    The model is not modified. Raises ValueError as the checks above do.
    """
    check_pair_model(model)
    check_sampler(sampler_name)
    latent = comfy.sample.fix_empty_latent_channels(model, start).float()
    noise = torch.cat([comfy.sample.prepare_noise(latent, draw.seed) for draw in chosen])
    patched = model.clone()
    patched.set_model_attn1_patch(SharedSelfAttention([draw.swap for draw in chosen]))
    with_scales(patched, [draw.cfg for draw in chosen for _ in range(2)])
    guider = comfy.samplers.CFGGuider(patched)
    guider.set_conds(paired(before, after), paired(negative, negative))
    guider.set_cfg(chosen[0].cfg)  # for the eyes of others' hooks; `with_scales` counts
    sampler = with_shared_noise(
        comfy.samplers.sampler_object(sampler_name), [draw.seed for draw in chosen]
    )
    sigmas = comfy.samplers.KSampler(patched, steps, "cpu", sampler_name, scheduler, denoise).sigmas
    samples = guider.sample(
        noise.repeat_interleave(2, 0),
        latent.repeat(2 * len(chosen), 1, 1, 1),
        sampler,
        sigmas,
        callback=callback,
        disable_pbar=True,
        seed=chosen[0].seed,
    )
    samples = samples.to(comfy.model_management.intermediate_device())
    return samples.unflatten(0, (len(chosen), 2))


def with_scales(model: Any, scales: Sequence[float]) -> None:
    """Give `model`, a clone of ours, a guidance scale for each row in place of one for all."""
    column = torch.tensor(scales).view(-1, 1, 1, 1)
    previous = model.model_options.get("sampler_cfg_function")

    def guided(args: dict[str, Any]) -> Tensor:
        own = column.to(args["input"])
        if previous is not None:
            return previous({**args, "cond_scale": own})
        without, asked = args["uncond_denoised"], args["cond_denoised"]
        return args["input"] - (without + (asked - without) * own)

    model.set_model_sampler_cfg_function(guided, disable_cfg1_optimization=True)


def with_shared_noise(sampler: Any, seeds: Sequence[int]) -> Any:
    """`sampler` drawing for both pictures of a pair what it draws for one with that seed."""
    if "noise_sampler" not in inspect.signature(sampler.sampler_function).parameters:
        return sampler

    def run(model: Any, x: Tensor, sigmas: Tensor, **options: Any) -> Tensor:
        streams = [
            comfy.k_diffusion.sampling.default_noise_sampler(x[:1], seed=seed) for seed in seeds
        ]

        def next_noise(sigma: Tensor, sigma_next: Tensor) -> Tensor:
            drawn = torch.cat([draw(sigma, sigma_next) for draw in streams])
            return drawn.repeat_interleave(2, 0)

        return sampler.sampler_function(model, x, sigmas, noise_sampler=next_noise, **options)

    return comfy.samplers.KSAMPLER(run, sampler.extra_options, sampler.inpaint_options)
