"""Dual guidance: three predictions of one latent, combined by two scales.

    e = e0 + image_cfg * (e1 - e0) + text_cfg * (e2 - e1)

    e0  `uncond`       no image (zeros), negative text
    e1  `image`        the source picture, negative text
    e2  `instruction`  the source picture, the instruction

Brooks, Holynski, Efros, "InstructPix2Pix", CVPR 2023, equation 3. The weights of (e0, e1, e2) are
(1 - image_cfg, image_cfg - text_cfg, text_cfg) and sum to one, so the rule holds for denoised
predictions, D = x - sigma * e, exactly as it does for noise predictions.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

# One scale for all, or one for each latent pixel: [1 or B, 1, h, w].
Scale = float | Tensor

PIXELS = (-3, -2, -1)


class Branches(NamedTuple):
    """One value for each branch, in this order everywhere: plain CFG's pair, then the third.

    The values are of one kind: predictions, conditionings, or whether a branch is needed.
    """

    instruction: Any
    image: Any
    uncond: Any


def branches_needed(text_cfg: Scale, image_cfg: Scale) -> Branches:
    """Which predictions have a weight other than zero somewhere, and so must be computed."""
    return Branches(
        instruction=not is_close(text_cfg, 0.0),
        image=not is_close(text_cfg, image_cfg),
        uncond=not is_close(image_cfg, 1.0),
    )


def is_close(a: Scale, b: Scale) -> bool:
    """Whether two scales are the same everywhere, to nine digits."""
    difference = a - b
    largest = difference.abs().max().item() if torch.is_tensor(difference) else abs(difference)
    return largest < 1e-9


def combine_guidance(
    instruction: Tensor | None,
    image: Tensor | None,
    uncond: Tensor | None,
    text_cfg: Scale,
    image_cfg: Scale,
) -> Tensor:
    """Combine the three predictions into one, in float32 at least.

    instruction, image, uncond  predictions [B, C, h, w]; None for one that `branches_needed`
                                left out, at least one is given
    text_cfg                    S_T, how strongly to follow the instruction; usual range 3 to 15
    image_cfg                   S_I, how strongly to stay with the picture; usual range 1 to 2.5

    text_cfg = image_cfg = 1 returns `instruction` unchanged.
    """
    e2, e1, e0 = with_stand_ins(instruction, image, uncond)
    return e0 + (e1 - e0) * image_cfg + (e2 - e1) * text_cfg


def with_stand_ins(
    instruction: Tensor | None, image: Tensor | None, uncond: Tensor | None
) -> Branches:
    """The three predictions as float32 (float64 stays), a missing one replaced by its neighbour.

    A prediction is left out only where its weight is zero. With the neighbour in its place the
    difference that held it vanishes or closes up to the same sum:
    e1 = e2 at equal scales gives e0 + s * (e2 - e0); e0 = e1 at image_cfg 1 gives
    e1 + text_cfg * (e2 - e1); e2 = e1 at text_cfg 0 gives e0 + image_cfg * (e1 - e0).
    """
    first = next((e for e in (image, instruction, uncond) if e is not None), None)
    if first is None:
        raise ValueError("with_stand_ins: all three predictions are None; at least one is needed.")
    e1 = image if image is not None else first
    e2 = instruction if instruction is not None else e1
    e0 = uncond if uncond is not None else e1
    return Branches(at_least_float32(e2), at_least_float32(e1), at_least_float32(e0))


def at_least_float32(prediction: Tensor) -> Tensor:
    """`prediction` in float32, or unchanged where it is float32 or float64 already.

    The text term is a small difference times a large scale: in float16 it loses its digits.
    """
    return prediction.float() if prediction.itemsize < 4 else prediction


def project_guidance(difference: Tensor, prediction: Tensor, eta: float, max_norm: float) -> Tensor:
    """Keep of a guidance difference what does not merely amplify the prediction.

    difference  e2 - e1 [B, C, h, w], in denoised space
    prediction  e2, whose direction is the part that oversaturates
    eta         share of the parallel part that is kept; 1 keeps all, 0 none
    max_norm    longest L2 norm allowed for the difference of one picture; 0 allows any

    Sadat, Hilliges, Weber, "Eliminating Oversaturation and Artifacts of High Guidance Scales in
    Diffusion Models" (adaptive projected guidance), ICLR 2025, without momentum.
    """
    if max_norm > 0:
        norm = torch.linalg.vector_norm(difference, dim=PIXELS, keepdim=True)
        difference = difference * (max_norm / norm.clamp(min=max_norm))
    direction = torch.nn.functional.normalize(in_double(prediction).flatten(1), dim=1)
    flat = in_double(difference).flatten(1)
    parallel = (flat * direction).sum(1, keepdim=True) * direction
    return (flat - (1 - eta) * parallel).view_as(difference).to(difference.device, difference.dtype)


def in_double(values: Tensor) -> Tensor:
    """`values` in float64, on the CPU where their device has none (Apple Metal, Ascend)."""
    return (values.cpu() if values.device.type in ("mps", "npu") else values).double()


def rescale_guidance(guided: Tensor, instruction: Tensor, centre: Tensor, amount: float) -> Tensor:
    """Bring the contrast of the guided prediction back towards that of the instruction branch.

    guided, instruction  denoised predictions [B, C, h, w]
    centre               what both are measured from: x for the noise prediction,
                         x / (sigma^2 + 1) for the velocity (ComfyUI's RescaleCFG)
    amount               0 changes nothing, 1 gives the standard deviation of `instruction`

    Lin et al., "Common Diffusion Noise Schedules and Sample Steps are Flawed", WACV 2024,
    section 3.4. A prediction is centre - D up to a factor, which the ratio cancels.
    """
    guided, instruction = centre - guided, centre - instruction
    ratio = instruction.std(dim=PIXELS, keepdim=True) / guided.std(dim=PIXELS, keepdim=True)
    return centre - guided * (amount * ratio + (1 - amount))
