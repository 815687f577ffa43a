"""ComfyUI's MODEL -> a UNet that can be trained, and what was learnt -> a MODEL.

The UNet is ComfyUI's own module in plain torch layers, so that nothing needs to be installed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import comfy.lora
import comfy.model_base
import comfy.model_management
import comfy.ops
import torch
from comfy.ldm.modules.attention import SpatialTransformer, attention_pytorch
from comfy.ldm.modules.diffusionmodules.openaimodel import ResBlock, UNetModel
from comfy.model_patcher import ModelPatcher
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .adapt import CHANNELS, FIRST_CONV, with_image_channels
from .step import Prediction

PREFIX = "diffusion_model."


@dataclass(frozen=True)
class Trainable:
    """A UNet in full precision with what its loss needs to know.

    grown       whether the picture's channels are new: the MODEL had none
    alphas      [T] cumulated products of 1 - beta
    scaled      raw latents -> latents as the UNet sees them
    """

    unet: UNetModel
    grown: bool
    alphas: Tensor
    prediction: Prediction
    scaled: Callable[[Tensor], Tensor]
    base: comfy.model_base.BaseModel

    def __call__(self, x: Tensor, times: Tensor, text: Tensor, vector: Tensor | None) -> Tensor:
        # ComfyUI's choice of attention is made for inference; torch's own has a fast backward.
        options = {"optimized_attention_override": _attention}
        return self.unet(x, times, context=text, y=vector, transformer_options=options)

    def vector(self, pooled: Tensor | None, height: int, width: int) -> Tensor | None:
        """SDXL's conditions [1, m] from the pooled text [1, d] and a size in pixels, else None."""
        if self.unet.num_classes is None:
            return None
        device = torch.device("cpu")
        return self.base.encode_adm(
            pooled_output=pooled, width=width, height=height, device=device
        ).float()


def _attention(chosen: Any, *args: Any, **kwargs: Any) -> Tensor:
    return attention_pytorch(*args, **kwargs)


def trainable(model: ModelPatcher, device: torch.device) -> Trainable:
    """A copy of the UNet of `model` in fp32, with image channels, its patches taken in.

    Raises ValueError for a model whose network or noise is of another kind.
    """
    base, config = model.model, model.model.model_config
    if not isinstance(base.diffusion_model, UNetModel):
        raise ValueError(
            f"model: this is {type(base).__name__}, not a Stable Diffusion UNet. Training starts "
            "from SD 1.x, SD 2.x or SDXL, or from an InstructPix2Pix model made of one."
        )
    kinds: dict[Any, Prediction] = {
        comfy.model_base.ModelType.EPS: "eps",
        comfy.model_base.ModelType.V_PREDICTION: "v",
    }
    if base.model_type not in kinds or not hasattr(base.model_sampling, "num_timesteps"):
        raise ValueError(
            f"model: it is trained with {base.model_type.name}; training knows noise prediction "
            "and v-prediction over whole timesteps."
        )
    comfy.model_management.unload_all_models()  # so that no patch is in the weights by now
    weights = patched_weights(model)
    grown = weights[FIRST_CONV].shape[1] == CHANNELS
    weights = with_image_channels(weights)
    unet_config = {**config.unet_config, "in_channels": 2 * CHANNELS, "dtype": torch.float32}
    unet_config.pop("disable_unet_model_creation", None)
    unet = UNetModel(**unet_config, device=device, operations=comfy.ops.disable_weight_init)
    unet.load_state_dict(weights)
    sigmas = base.model_sampling.sigmas.double()
    alphas = (1 / (1 + sigmas.square())).float().to(device)
    process = base.latent_format.process_in
    return Trainable(unet, grown, alphas, kinds[base.model_type], process, base)


def patched_weights(model: ModelPatcher) -> dict[str, Tensor]:
    """The UNet's weights in fp32 on the CPU, with the MODEL's patches (LoRAs) taken in."""
    weights = {}
    for name, weight in model.model.diffusion_model.named_parameters():
        key = PREFIX + name
        weight = weight.detach().to("cpu", torch.float32, copy=True)
        if key in model.patches:
            weight = comfy.lora.calculate_weight(model.patches[key], weight, key)
        weights[name] = weight
    return weights


def halve(unet: nn.Module) -> None:
    """Keep frozen layers in bf16. Norms stay in fp32, which a CPU's autocast needs of them."""
    for module in unet.modules():
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            module.bfloat16()


def save_memory(unet: nn.Module) -> None:
    """Compute inner activations again in the backward pass instead of keeping them."""
    for module in unet.modules():
        if isinstance(module, (ResBlock, SpatialTransformer)):
            module.forward = partial(checkpoint, module.forward, use_reentrant=False)
