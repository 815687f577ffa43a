"""A prototype that reuse.py measures: the deep part of the UNet serves two steps (DeepCache).

What enters the last level of the UNet's second half hardly changes from one step to the next
(Ma, Fang and Wang, "DeepCache", 2024). Every second step of the two branches with picture runs the
first and the last level alone, on what the step before left there. docs/speed.md says what came of
it, and why no node has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import comfy.patcher_extension
import torch
from comfy.ldm.modules.diffusionmodules.openaimodel import Upsample, forward_timestep_embed
from comfy.ldm.modules.diffusionmodules.util import timestep_embedding
from instruct_pix2pix.samplers.comfy import sampling
from instruct_pix2pix.samplers.comfy.guider import DualGuider
from instruct_pix2pix.samplers.guidance import Branches
from instruct_pix2pix.samplers.levels import step_of
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

AROUND_UNET = comfy.patcher_extension.WrappersMP.DIFFUSION_MODEL


class DeepFeatures:
    """A wrapper around the UNet that keeps what enters its last level, for each conditioning.

    may_reuse         whether the next call may run on what is kept
    shallow_pictures  how many have
    """

    def __init__(self) -> None:
        self.kept: dict[Any, Tensor] = {}
        self.may_reuse = False
        self.shallow_pictures = 0

    def __call__(
        self,
        executor: Any,
        x: Tensor,
        timesteps: Tensor,
        context: Tensor,
        y: Tensor | None = None,
        control: Any = None,
        transformer_options: dict[str, Any] = {},  # noqa: B006  (ComfyUI's signature)
        **kwargs: Any,
    ) -> Tensor:
        options, uuids = transformer_options, transformer_options["uuids"]
        unet = executor.class_obj
        first = first_of_last_level(unet)
        if self.may_reuse and all(uuid in self.kept for uuid in uuids):
            self.shallow_pictures += len(x)
            deep = torch.cat([self.kept[uuid] for uuid in uuids])
            return last_level(unet, first, deep, x, timesteps, context, dict(options))

        def keep(h: Tensor, skip: Tensor, options: dict[str, Any]) -> tuple[Tensor, Tensor]:
            if options["block"] == ("output", first):
                self.kept.update(zip(uuids, h.chunk(len(uuids)), strict=True))
            return h, skip

        options = {**options, "patches": {"output_block_patch": [keep]}}
        return executor(x, timesteps, context, y, control, options, **kwargs)


def first_of_last_level(unet: Any) -> int:
    """The first output block at the size of the latent."""
    return 1 + max(
        index
        for index, block in enumerate(unet.output_blocks)
        if any(isinstance(layer, Upsample) for layer in block)
    )


def last_level(
    unet: Any,
    first: int,
    deep: Tensor,
    x: Tensor,
    timesteps: Tensor,
    context: Tensor,
    options: dict[str, Any],
) -> Tensor:
    """The UNet's prediction [N, C, h, w] where `deep` [N, c, h, w] enters its block `first`."""
    options["transformer_index"] = 0
    embedded = unet.time_embed(timestep_embedding(timesteps, unet.model_channels).to(x.dtype))
    skips, h = [], x
    for block in unet.input_blocks[: len(unet.output_blocks) - first]:
        h = forward_timestep_embed(block, h, embedded, context, options)
        skips.append(h)
    h = deep
    for block in unet.output_blocks[first:]:
        h = torch.cat([h, skips.pop()], 1)
        shape = skips[-1].shape if skips else None
        h = forward_timestep_embed(block, h, embedded, context, options, shape)
    return unet.out(h.type(x.dtype))


class DeepGuider(DualGuider):
    """Dual guidance whose deep features serve two steps, and are anew wherever e0 is."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.deep = DeepFeatures()
        self.model_patcher.add_wrapper_with_key(AROUND_UNET, "deep", self.deep)

    def predict_branches(
        self, x: Tensor, sigma: Tensor, needed: Branches, model_options: dict[str, Any]
    ) -> Branches:
        step = step_of(float(sigma.flatten()[0]), self.run.sigmas) - 1
        self.deep.may_reuse = step % 2 == 1 and not needed.uncond
        return super().predict_branches(x, sigma, needed, model_options)


class DeepEdit(sampling.Edit):
    """An edit of one cell by a DeepGuider; `made` is the last one."""

    made: DeepGuider

    def guider(self, cells: Sequence[sampling.Cell]) -> DeepGuider:
        scales = cells[0].text_cfg, cells[0].image_cfg
        inputs = self.model, self.instruction, self.negative, self.source
        guider = DeepGuider(*inputs, *scales, self.guidance)
        object.__setattr__(self, "made", guider)
        return guider


def shallow_share(model: Any, words: Tensor, side: int) -> float:
    """The arithmetic of a call that reuses deep features, as a share of a whole one's."""
    unet, features = model.model.diffusion_model, DeepFeatures()
    counted = []
    for features.may_reuse in (False, True):
        options = {"uuids": [0], "wrappers": {AROUND_UNET: {None: [features]}}}
        with FlopCounterMode(display=False) as flops:
            latent = torch.zeros(1, unet.in_channels, side, side)
            unet(latent, torch.zeros(1), words, transformer_options=options)
        counted.append(flops.get_total_flops())
    return counted[1] / counted[0]
