"""Dual guidance as a ComfyUI guider."""

from __future__ import annotations

import logging
from typing import Any

import comfy.model_base
import comfy.patcher_extension
import comfy.sampler_helpers
import comfy.samplers
import node_helpers
import torch
from torch import Tensor

from ..control import Guidance
from ..guidance import Branches
from ..levels import is_full_edit, step_of
from .finite import explain
from .hooks import HOOKS, CfgHooks, PlainNumbers, needed_by_hooks, replaced_batch
from .patches import check_first_layer
from .run import Run

logger = logging.getLogger(__name__)


class DualGuider(comfy.samplers.CFGGuider):
    """Runs the branches that dual guidance needs in one batch and combines them.

    model        MODEL of an InstructPix2Pix checkpoint; not modified
    instruction  CONDITIONING, what to change
    negative     CONDITIONING of the two branches without instruction
    source       LATENT of the picture: "samples" [B, 4, h, w], unscaled posterior mode
    text_cfg     S_T; kept in `self.cfg`, where nodes that override the scale look for it
    image_cfg    S_I
    guidance     schedules, regions and limits of both

    Raises ValueError for a model or a source that cannot be edited with.
    """

    def __init__(
        self,
        model: Any,
        instruction: Any,
        negative: Any,
        source: dict[str, Any],
        text_cfg: float,
        image_cfg: float,
        guidance: Guidance | None = None,
    ) -> None:
        check_model(model)
        check_first_layer(model)
        picture = check_source(source)
        super().__init__(model.clone())
        self.set_cfg(text_cfg)
        self.image_cfg = image_cfg
        self.guidance = guidance or Guidance()
        with_picture = {"concat_latent_image": picture}
        # Plain CFG's pair under plain CFG's names, which ComfyUI and other nodes look for.
        self.inner_set_conds(
            {
                "positive": node_helpers.conditioning_set_values(instruction, with_picture),
                "negative": node_helpers.conditioning_set_values(negative, with_picture),
                # None is the null picture (zeros), whatever the conditioning carried before.
                "uncond": node_helpers.conditioning_set_values(
                    negative, {"concat_latent_image": None, "prompt_type": "negative"}
                ),
            }
        )
        self.saved = ""  # what `reuse` saved in the last run, in a sentence
        self.numbers = PlainNumbers(self.original_conds)
        self.model_patcher.add_wrapper_with_key(
            comfy.patcher_extension.WrappersMP.APPLY_MODEL, "instruct_pix2pix", self.numbers.wrapper
        )

    def sample(
        self,
        noise: Tensor,
        latent_image: Tensor,
        sampler: Any,
        sigmas: Tensor,
        denoise_mask: Tensor | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> Tensor:
        """Sample, starting a full edit from pure noise whichever latent was handed in."""
        sampling = self.model_patcher.get_model_object("model_sampling")
        if is_full_edit(sigmas.tolist(), sampling.sigmas.tolist()):
            latent_image = kept_part(latent_image, denoise_mask)
        return super().sample(noise, latent_image, sampler, sigmas, denoise_mask, *args, **kwargs)

    def inner_sample(
        self,
        noise: Tensor,
        latent_image: Tensor,
        device: torch.device,
        sampler: Any,
        sigmas: Tensor,
        *args: Any,
        **kwargs: Any,
    ) -> Tensor:
        """Sample with what the steps share made once, so that no step has to wait for it."""
        self.run = Run(self.guidance, sigmas.tolist(), noise.shape, device)
        self.saved = ""
        try:
            samples = super().inner_sample(
                noise, latent_image, device, sampler, sigmas, *args, **kwargs
            )
            self.check_finite(wait=True)
            reusing = self.run.reusing
            if reusing is not None and reusing.needed:
                run, needed = reusing.run, reusing.needed
                self.saved = f"{run} of {needed} evaluations run, {needed - run} reused."
                logger.info(self.saved)
            return samples
        finally:
            del self.run

    def predict_noise(
        self,
        x: Tensor,
        timestep: Tensor,
        model_options: dict[str, Any] = {},  # noqa: B006  (ComfyUI's signature; never written to)
        seed: int | None = None,
    ) -> Tensor:
        """The guided denoised prediction [B, C, h, w] at noise level `timestep` [B]."""
        text_cfg, image_cfg, needed = self.run.step(timestep, self.cfg, self.image_cfg)
        # Hooks take one number for the scale.
        number = self.cfg if torch.is_tensor(text_cfg) else text_cfg
        needed = needed_by_hooks(needed, number, model_options)
        predictions = self.predict_needed(x, timestep, needed, model_options)
        hooks = CfgHooks(self.branch_conds(needed), x, timestep, number, model_options, self)
        predictions = hooks.before(predictions)
        guided = self.guidance.combine(predictions, text_cfg, image_cfg, x, timestep)
        return hooks.after(guided, predictions).to(x.dtype)

    def predict_needed(
        self, x: Tensor, sigma: Tensor, needed: Branches, model_options: dict[str, Any]
    ) -> Branches:
        """As `predict_branches`, with what an earlier step predicted where `reuse` says so."""
        reusing = self.run.start_reusing(self.image_cfg, self.conds)
        # A hook or sampler that reads plain CFG's pair must get it exact.
        if reusing is None or model_options.get("disable_cfg1_optimization", False):
            return self.predict_branches(x, sigma, needed, model_options)
        level = float(sigma.flatten()[0])
        step = step_of(level, self.run.sigmas) - 1
        if any(model_options.get(name) for name in HOOKS):
            reusing.text = None
        fresh = reusing.fresh(step, level, needed)
        predictions = self.predict_branches(x, sigma, fresh, model_options)
        return reusing.filled(predictions, needed, step, level)

    def predict_branches(
        self, x: Tensor, sigma: Tensor, needed: Branches, model_options: dict[str, Any]
    ) -> Branches:
        """The denoised predictions [B, C, h, w] of the branches that are needed, None for others.

        The only call of the network. Raises ValueError where a prediction is not finite.

        x      noisy latent [B, C, h, w]
        sigma  its noise level [B]
        """
        conds = self.branch_conds(needed)
        options = self.numbers.options(model_options)
        replaced = options.get("sampler_calc_cond_batch_function")
        if replaced is not None:
            predictions = replaced_batch(replaced, conds, x, sigma, self.inner_model, options)
        else:
            # ComfyUI batches from the last to the first. Handed over in reverse, the instruction
            # is first in the batch, which makes the result equal to DualCFGGuider's to the bit.
            predictions = Branches(
                *reversed(
                    comfy.samplers.calc_cond_batch(
                        self.inner_model, list(reversed(conds)), x, sigma, options
                    )
                )
            )
        predictions = Branches(
            *(one if run else None for one, run in zip(predictions, needed, strict=True))
        )
        self.run.watch.look(x, predictions, sigma)
        self.check_finite()
        return predictions

    def branch_conds(self, needed: Branches) -> Branches:
        """The conditionings of the branches that are needed, None for the others."""
        conds = (self.conds[name] for name in ("positive", "negative", "uncond"))
        return Branches(*(cond if run else None for cond, run in zip(conds, needed, strict=True)))

    def check_finite(self, wait: bool = False) -> None:
        """Raise ValueError with the cause where a prediction of this run was NaN or infinite.

        wait  for the device to be done with all predictions
        """
        found = self.run.watch.found(wait)
        if found is not None:
            raise ValueError(explain(found, self.run.sigmas, self.original_conds, self.inner_model))


def kept_part(latent: Tensor, mask: Tensor | None) -> Tensor:
    """`latent` [B, C, h, w] where `mask` keeps any of it, zero where all may change.

    ComfyUI adds the latent to the start noise. Under a full edit only noise belongs there, as
    without a mask; where the mask keeps the picture, the picture must be found.
    """
    if mask is None:
        return torch.zeros_like(latent)
    mask = comfy.sampler_helpers.prepare_mask(mask, latent.shape, latent.device)
    return torch.where(mask < 1, latent, torch.zeros_like(latent))


def check_model(model: Any) -> None:
    """Raise ValueError unless `model` is an InstructPix2Pix model."""
    if not isinstance(model.model, comfy.model_base.IP2P):
        config = model.model.model_config.unet_config
        raise ValueError(
            f"model: this is {type(model.model).__name__} with {config.get('in_channels')} input "
            "channels, which cannot see a source picture. Load an InstructPix2Pix checkpoint "
            "(8 input channels) with IP2PLoadCheckpoint."
        )


def check_source(source: dict[str, Any]) -> Tensor:
    """The source latent [B, 4, h, w]; ValueError where it cannot be an encoded picture."""
    picture = source["samples"]
    if picture.is_nested or picture.ndim != 4 or picture.shape[1] != 4:
        shape = "a nested latent" if picture.is_nested else tuple(picture.shape)
        raise ValueError(
            f"source: expected a latent of shape (batch, 4, height, width), got {shape}. "
            "Connect the source of IP2PEncodeSource."
        )
    if not torch.count_nonzero(picture):
        raise ValueError(
            "source: this latent is all zeros, an empty latent and not an encoded picture. "
            "Connect the source of IP2PEncodeSource."
        )
    return picture
