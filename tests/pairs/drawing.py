"""A tiny random Stable Diffusion 1.x of 4 channels, as ComfyUI has it and as diffusers has it."""

from pathlib import Path

import comfy.model_detection
import comfy.model_management
import comfy.model_patcher
import comfy.supported_models
import torch

from ..checkpoints.factory import TEXT_WIDTH, UNET, ldm_state_dict, tiny_pipeline


def tiny_text_to_image(seed: int = 0):
    """The MODEL and diffusers' pipeline of the same weights."""
    pipeline = tiny_pipeline(seed, in_channels=4)
    weights = {
        name.removeprefix(UNET): weight
        for name, weight in ldm_state_dict(pipeline).items()
        if name.startswith(UNET)
    }
    detected = comfy.model_detection.detect_unet_config(weights, "")
    config = comfy.supported_models.SD15(detected)
    config.set_inference_dtype(torch.float32, None)
    model = config.get_model(weights, "", device=torch.device("cpu"))
    model.load_model_weights(dict(weights), "")
    device = comfy.model_management.get_torch_device()
    return comfy.model_patcher.ModelPatcher(model, device, torch.device("cpu")), pipeline


def text(seed: int, length: int = 77):
    """A CONDITIONING of random numbers."""
    generator = torch.Generator().manual_seed(seed)
    return [[torch.randn(1, length, TEXT_WIDTH, generator=generator), {}]]


def save_checkpoint(folder: Path, seed: int = 0) -> Path:
    """A single file of all parts, for a server to load."""
    import safetensors.torch

    path = folder / "tiny-sd.safetensors"
    safetensors.torch.save_file(ldm_state_dict(tiny_pipeline(seed, in_channels=4)), path)
    return path
