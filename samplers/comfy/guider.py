"""Dual guidance as a ComfyUI guider."""

from __future__ import annotations

import math
from typing import Any

import comfy.model_base
import comfy.patcher_extension
import comfy.sampler_helpers
import comfy.samplers
import node_helpers
import torch
from torch import Tensor

from ..control import Guidance
from ..guidance import branches_needed, effective_uncond, with_stand_ins
from .patches import check_first_layer

BRANCH_NAMES = ("instruction", "image", "uncond")


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
        self.inner_set_conds(
            {
                "positive": node_helpers.conditioning_set_values(instruction, with_picture),
                "middle": node_helpers.conditioning_set_values(
                    negative, {**with_picture, "prompt_type": "negative"}
                ),
                # None is the null picture (zeros), whatever the conditioning carried before.
                "negative": node_helpers.conditioning_set_values(
                    negative, {"concat_latent_image": None}
                ),
            }
        )
        self.model_patcher.add_wrapper_with_key(
            comfy.patcher_extension.WrappersMP.APPLY_MODEL,
            "instruct_pix2pix",
            plain_cfg_numbers(self.original_conds),
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
        sigma_max = float(self.model_patcher.get_model_object("model_sampling").sigma_max)
        if len(sigmas) and float(sigmas[0]) > sigma_max * (1 - 1e-5):
            latent_image = kept_part(latent_image, denoise_mask)
        return super().sample(noise, latent_image, sampler, sigmas, denoise_mask, *args, **kwargs)

    def predict_noise(
        self,
        x: Tensor,
        timestep: Tensor,
        model_options: dict[str, Any] = {},  # noqa: B006  (ComfyUI's signature; never written to)
        seed: int | None = None,
    ) -> Tensor:
        """The guided denoised prediction [B, C, h, w] at noise level `timestep` [B]."""
        step, steps = step_of(timestep, model_options)
        text_cfg, image_cfg = self.guidance.scales(
            self.cfg, self.image_cfg, progress=(step - 1) / max(steps - 1, 1), x=x
        )
        branches: Any = [self.conds["positive"], self.conds["middle"], self.conds["negative"]]
        if not model_options.get("disable_cfg1_optimization", False):
            needed = branches_needed(text_cfg, image_cfg)
            branches = [
                cond if is_needed else None
                for cond, is_needed in zip(branches, needed, strict=True)
            ]
        hook_args = {
            "conds": branches,
            "input": x,
            "sigma": timestep,
            "model": self.inner_model,
            "model_options": model_options,
        }
        if "sampler_calc_cond_batch_function" in model_options:
            predictions = model_options["sampler_calc_cond_batch_function"](hook_args)
        else:
            # ComfyUI batches from the last to the first. Handed over in reverse, the instruction
            # is first in the batch, which makes the result equal to DualCFGGuider's to the bit.
            predictions = comfy.samplers.calc_cond_batch(
                self.inner_model, branches[::-1], x, timestep, model_options
            )[::-1]
        check_finite(predictions, step, steps, timestep)
        for hook in model_options.get("sampler_pre_cfg_function", []):
            changed = hook(
                {
                    **hook_args,
                    "conds_out": predictions,
                    "cond_scale": self.cfg,
                    "timestep": timestep,
                }
            )
            # Hooks written for plain CFG may return the first two only.
            predictions = [*changed, *predictions[len(changed) :]]
        e2, e1, e0 = (
            prediction if cond is not None else None
            for prediction, cond in zip(predictions, branches, strict=True)
        )
        ran = e2, e1, e0
        guided = self.guidance.combine(ran, text_cfg, image_cfg, x, timestep)
        return run_cfg_hooks(guided, ran, hook_args, self.cfg)


def run_cfg_hooks(
    guided: Tensor,
    predictions: tuple[Tensor | None, ...],
    hook_args: dict[str, Any],
    text_cfg: float,
) -> Tensor:
    """Give the guided prediction to the functions that replace CFG and to those that follow it.

    predictions  instruction, image, uncond; None for one that was not run
    hook_args    conds (None likewise), input, sigma, model, model_options

    A function that replaces CFG is given the pair (instruction, u) from which plain CFG at
    text_cfg arrives at `guided`, so it acts on the whole of it. Hooks after CFG see the result;
    their "uncond" is the branch without picture, or the image branch where that was not run.
    """
    conds, x, options = hook_args["conds"], hook_args["input"], hook_args["model_options"]
    e2, e1, e0 = with_stand_ins(*predictions)
    if "sampler_cfg_function" in options:
        # At text_cfg 1 plain CFG does not read u; what dual guidance adds is put on behind it.
        is_plain = math.isclose(text_cfg, 1.0, abs_tol=1e-3)
        added = guided - (e1 + (e2 - e1) * text_cfg) if is_plain else 0.0
        u = e1 if is_plain else effective_uncond(guided, e2, text_cfg)
        guided = (
            added
            + x
            - options["sampler_cfg_function"](
                {
                    "cond": x - e2,
                    "uncond": x - u,
                    "cond_denoised": e2,
                    "uncond_denoised": u,
                    "cond_scale": text_cfg,
                    "timestep": hook_args["sigma"],
                    "input": x,
                    "sigma": hook_args["sigma"],
                    "model": hook_args["model"],
                    "model_options": options,
                    "input_cond": conds[0],
                    "input_uncond": conds[1],
                }
            )
        )
    for hook in options.get("sampler_post_cfg_function", []):
        guided = hook(
            {
                "denoised": guided,
                "cond": conds[0],
                "uncond": conds[2] if conds[2] is not None else conds[1],
                "cond_scale": text_cfg,
                "model": hook_args["model"],
                "uncond_denoised": e0,
                "cond_denoised": e2,
                "sigma": hook_args["sigma"],
                "model_options": options,
                "input": x,
            }
        )
    return guided.to(x.dtype)


def plain_cfg_numbers(conds: dict[str, list[dict[str, Any]]]) -> Any:
    """An APPLY_MODEL wrapper that numbers the branches as plain CFG does.

    0 has the instruction, 1 has not. Attention patches written for plain CFG pick from a pair by
    `cond_or_uncond` and fail on a 2. Conditioning that is not of `conds` keeps its number.
    """
    number_of = {
        cond["uuid"]: 0 if name == "positive" else 1
        for name, branch in conds.items()
        for cond in branch
    }

    def wrapper(
        executor: Any,
        x: Tensor,
        t: Tensor,
        c_concat: Any = None,
        c_crossattn: Any = None,
        control: Any = None,
        transformer_options: dict[str, Any] = {},  # noqa: B006  (ComfyUI's signature)
        **kwargs: Any,
    ) -> Tensor:
        numbers = [
            number_of.get(uuid, number)
            for uuid, number in zip(
                transformer_options["uuids"], transformer_options["cond_or_uncond"], strict=True
            )
        ]
        options = {**transformer_options, "cond_or_uncond": numbers}
        return executor(x, t, c_concat, c_crossattn, control, options, **kwargs)

    return wrapper


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
    """The source latent [B, 4, h, w]; ValueError where it cannot be one of a picture."""
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


def step_of(timestep: Tensor, model_options: dict[str, Any]) -> tuple[int, int]:
    """The step, counted from 1, that noise level `timestep` [B] belongs to, and their number."""
    sigmas = model_options.get("transformer_options", {}).get("sample_sigmas")
    if sigmas is None or len(sigmas) < 2:
        return 1, 1
    nearest = (sigmas.to(timestep) - timestep.flatten()[0]).abs().argmin().item()
    steps = len(sigmas) - 1
    return min(int(nearest) + 1, steps), steps


def check_finite(predictions: list[Tensor], step: int, steps: int, timestep: Tensor) -> None:
    """Raise ValueError naming the branch and the step where a prediction is NaN or infinite."""
    finite = torch.stack([prediction.isfinite().all() for prediction in predictions]).tolist()
    if all(finite):
        return
    names = " and ".join(
        name for name, is_finite in zip(BRANCH_NAMES, finite, strict=True) if not is_finite
    )
    raise ValueError(
        f"model: the {names} branch gave NaN or infinite numbers at step {step} of {steps} "
        f"(sigma {float(timestep.flatten()[0]):.3f}). Half precision overflows with some "
        "checkpoints and LoRAs: start ComfyUI with --force-fp32 or --bf16-unet, or try without "
        "the last patch."
    )
