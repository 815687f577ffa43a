"""An ordinary text-to-image model of a width that core's own loader does not know."""

import comfy.model_detection
import comfy.model_patcher
import comfy.supported_models
import torch

from .factory import UNET


def ordinary_model(weights, kind="SD15"):
    """A MODEL from weights in LDM names, built from core's class `kind` as core would."""
    unet = {k.removeprefix(UNET): v for k, v in weights.items() if k.startswith(UNET)}
    detected = comfy.model_detection.detect_unet_config(unet, "")
    config = getattr(comfy.supported_models, kind)(detected)
    config.set_inference_dtype(torch.float32, None)
    model = config.get_model(unet, "")
    model.load_model_weights(dict(unet), "")
    cpu = torch.device("cpu")
    return comfy.model_patcher.ModelPatcher(model, load_device=cpu, offload_device=cpu)
