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

import math
from typing import NamedTuple

from torch import Tensor


class Branches(NamedTuple):
    """One value for each branch, in the order plain CFG has: what is asked for comes first."""

    instruction: bool
    image: bool
    uncond: bool


def branches_needed(text_cfg: float, image_cfg: float) -> Branches:
    """Which predictions have a weight other than zero and so must be computed.

    text_cfg, image_cfg  any finite numbers
    """
    return Branches(
        instruction=not math.isclose(text_cfg, 0.0, abs_tol=1e-9),
        image=not math.isclose(text_cfg, image_cfg),
        uncond=not math.isclose(image_cfg, 1.0),
    )


def combine_guidance(
    instruction: Tensor | None,
    image: Tensor | None,
    uncond: Tensor | None,
    text_cfg: float,
    image_cfg: float,
) -> Tensor:
    """Combine the three predictions into one, in float32 at least.

    instruction, image, uncond  predictions of one shape; None for one that `branches_needed`
                                left out, at least one is given
    text_cfg                    S_T, how strongly to follow the instruction; usual range 3 to 15
    image_cfg                   S_I, how strongly to stay with the picture; usual range 1 to 2.5

    text_cfg = image_cfg = 1 returns `instruction` unchanged.
    """
    e2, e1, e0 = with_stand_ins(instruction, image, uncond)
    return e0 + (e1 - e0) * image_cfg + (e2 - e1) * text_cfg


def with_stand_ins(
    instruction: Tensor | None, image: Tensor | None, uncond: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
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
    return at_least_float32(e2), at_least_float32(e1), at_least_float32(e0)


def at_least_float32(prediction: Tensor) -> Tensor:
    """`prediction` in float32, or unchanged where it is float32 or float64 already.

    The text term is a small difference times a large scale: in float16 it loses its digits.
    """
    return prediction.float() if prediction.itemsize < 4 else prediction


def effective_uncond(image: Tensor, uncond: Tensor, text_cfg: float, image_cfg: float) -> Tensor:
    """The one prediction u for which plain CFG at text_cfg equals dual guidance.

    u + text_cfg * (e2 - u) = e0 + image_cfg * (e1 - e0) + text_cfg * (e2 - e1)
    solved for u: ((1 - image_cfg) * e0 + (image_cfg - text_cfg) * e1) / (1 - text_cfg).

    It lets a function that replaces plain CFG (RescaleCFG and its kin) act on the whole of it.
    text_cfg must not be 1, where plain CFG does not read u.
    """
    return ((1 - image_cfg) * uncond + (image_cfg - text_cfg) * image) / (1 - text_cfg)
