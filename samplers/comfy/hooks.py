"""Hooks and samplers that were written for plain CFG, under dual guidance.

Plain CFG predicts a pair: with the instruction and without it. Whatever was written for it gets
that pair, the instruction and the image branch, one and the same in predictions, conditionings and
attention. At image_cfg 1 dual guidance is plain CFG and everything acts as in ComfyUI's KSampler;
else it acts on e2 - e1, and the term of the picture is added to what comes of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ..guidance import Branches, Scale, at_least_float32

# What other nodes and samplers put on a model, which expect one number as the scale.
HOOKS = (
    "sampler_pre_cfg_function",
    "sampler_cfg_function",
    "sampler_post_cfg_function",
    "sampler_calc_cond_batch_function",
)
NUMBERS = "cond_or_uncond"


def needed_by_hooks(needed: Branches, text_cfg: Scale, options: dict[str, Any]) -> Branches:
    """The branches that are needed, with all of plain CFG's pair where a hook may look at it.

    Plain CFG leaves out the second of the pair at text_cfg 1, unless it is told not to.
    """
    both = options.get("disable_cfg1_optimization", False)
    if not both and not any(options.get(name) for name in HOOKS):
        return needed
    is_one = not torch.is_tensor(text_cfg) and math.isclose(text_cfg, 1.0)
    return Branches(True, needed.image or both or not is_one, needed.uncond)


def replaced_batch(
    function: Callable[[dict[str, Any]], Sequence[Tensor]],
    conds: Branches,
    x: Tensor,
    sigma: Tensor,
    model: Any,
    options: dict[str, Any],
) -> Branches:
    """The predictions of a function that replaces ComfyUI's `calc_cond_batch`.

    It is asked for pairs, as plain CFG asks: for both branches with the picture, and for the third
    alone.
    """

    def ask(*pair: Any) -> Sequence[Tensor]:
        return function(
            {
                "conds": list(pair),
                "input": x,
                "sigma": sigma,
                "model": model,
                "model_options": options,
            }
        )

    instruction, image = ask(conds.instruction, conds.image)
    uncond = None if conds.uncond is None else ask(conds.uncond, None)[0]
    return Branches(instruction, image, uncond)


class CfgHooks:
    """The functions on a model that act before CFG, in its place, and after it, for one call.

    conds    of the branches that were run, None for others
    x        the noisy latent [B, C, h, w]
    sigma    its noise level [B]
    scale    text_cfg as one number
    options  model_options, which hold the functions
    guider   whose model they are told of
    """

    def __init__(
        self,
        conds: Branches,
        x: Tensor,
        sigma: Tensor,
        scale: Scale,
        options: dict[str, Any],
        guider: Any,
    ) -> None:
        self.conds, self.x, self.scale, self.options = conds, x, scale, options
        self.common = {
            "cond_scale": scale,
            "input": x,
            "sigma": sigma,
            "model": guider.inner_model,
            "model_options": options,
        }

    def before(self, predictions: Branches) -> Branches:
        """The predictions as the functions before CFG leave them."""
        hooks = self.options.get("sampler_pre_cfg_function", [])
        if not hooks:
            return predictions
        pair = self.pair(predictions)
        for hook in hooks:
            pair = hook(
                {
                    **self.common,
                    "conds": list(self.conds[:2]),
                    "conds_out": list(pair),
                    "timestep": self.common["sigma"],
                }
            )
        if predictions.image is None:
            return Branches(pair[0], None, predictions.uncond)
        uncond = predictions.uncond
        if uncond is not None and pair[1] is not predictions.image:
            # Moved with the image branch, so that the difference of the two stays what it was.
            uncond = uncond + (pair[1] - predictions.image)
        return Branches(pair[0], pair[1], uncond)

    def after(self, guided: Tensor, predictions: Branches) -> Tensor:
        """The guided prediction as the function in place of CFG and those after it leave it."""
        if not any(self.options.get(name) for name in HOOKS[1:3]):
            return guided
        e2, e1 = map(at_least_float32, self.pair(predictions))
        if "sampler_cfg_function" in self.options:
            function = self.options["sampler_cfg_function"]
            result = self.x - function(
                {
                    **self.common,
                    "cond": self.x - e2,
                    "uncond": self.x - e1,
                    "cond_denoised": e2,
                    "uncond_denoised": e1,
                    "timestep": self.common["sigma"],
                    "input_cond": self.conds.instruction,
                    "input_uncond": self.conds.image,
                }
            )
            # By how much dual guidance differs from plain CFG; 0 at image_cfg 1.
            guided = result + (guided - (e1 + (e2 - e1) * self.scale))
        for hook in self.options.get("sampler_post_cfg_function", []):
            guided = hook(
                {
                    **self.common,
                    "denoised": guided,
                    "cond": self.conds.instruction,
                    "uncond": self.conds.image,
                    "cond_denoised": e2,
                    "uncond_denoised": e1,
                }
            )
        return guided

    def pair(self, predictions: Branches) -> tuple[Tensor, Tensor]:
        """Plain CFG's pair. As in ComfyUI a prediction that was left out is zeros."""
        e2, e1, _ = (torch.zeros_like(self.x) if one is None else one for one in predictions)
        return e2, e1


class PlainNumbers:
    """Numbers the branches in `cond_or_uncond` as plain CFG does: 0 has the instruction, 1 has not.

    Attention patches and wrappers that were written for plain CFG pick from a pair by that number
    and fail on a 2. Of equal numbers the image branch comes first. Conditioning that is not of
    `conds` keeps its number.
    """

    def __init__(self, conds: dict[str, list[dict[str, Any]]]) -> None:
        number_of = {
            cond["uuid"]: 0 if name == "positive" else 1
            for name, branch in conds.items()
            for cond in branch
        }

        def renumbered(options: dict[str, Any]) -> dict[str, Any]:
            pairs = zip(options["uuids"], options[NUMBERS], strict=True)
            return {**options, NUMBERS: [number_of.get(uuid, number) for uuid, number in pairs]}

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
            options = renumbered(transformer_options)
            return executor(x, t, c_concat, c_crossattn, control, options, **kwargs)

        self.renumbered, self.wrapper = renumbered, wrapper

    def options(self, model_options: dict[str, Any]) -> dict[str, Any]:
        """`model_options` whose function around the model, if there is one, gets these numbers."""
        around = model_options.get("model_function_wrapper")
        if around is None:
            return model_options

        def wrapper(apply_model: Any, args: dict[str, Any]) -> Tensor:
            options = self.renumbered(args["c"]["transformer_options"])
            c = {**args["c"], "transformer_options": options}
            return around(apply_model, {**args, "c": c, NUMBERS: options[NUMBERS]})

        return {**model_options, "model_function_wrapper": wrapper}
