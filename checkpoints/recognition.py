"""What a file is, told from the names and shapes of its tensors, in one plain sentence."""

from __future__ import annotations

from .files import CheckpointError, StateDict

ADVICE = (
    "Load an InstructPix2Pix checkpoint, such as instruct-pix2pix-00-22000.safetensors "
    "(its UNet takes 8 channels)."
)

# What the name of one tensor gives away, the most telling first.
_OTHERS = (
    (("lora_up", "lora_down", "lora_A", "lora_B", "lora.up", "lora.down", "hada_w", "lokr_w"),
     "a LoRA, which goes on top of a checkpoint by a LoRA loader."),
    (("control_model.", "controlnet_", "input_hint_block", "zero_convs."),
     "a ControlNet, which has a loader of its own."),
    (("cc_projection.",), "a Zero123 checkpoint, which turns objects."),
    (("ip_adapter", "image_proj."), "an IP-Adapter."),
    (("emb_params", "string_to_param"), "a textual inversion embedding."),
    (("motion_modules.",), "an AnimateDiff motion module."),
)  # fmt: skip
_PARTS = (
    (("decoder.conv_in.", "taesd_decoder."), "a VAE alone, which has a loader of its own."),
    (("text_model.encoder.", "text_model.embeddings."), "a text encoder alone."),
)


def refuse_other_files(tensors: StateDict, name: str) -> None:
    """Raises CheckpointError for a file that is known to be something else than a checkpoint."""
    if not tensors:
        raise CheckpointError(f"{name}: this file holds no tensors. {ADVICE}")
    _refuse(tensors, name, _OTHERS)


def refuse_without_unet(tensors: StateDict, name: str) -> None:
    """Raises CheckpointError for a file in which no Stable Diffusion UNet was found."""
    _refuse(tensors, name, _PARTS)
    raise CheckpointError(
        f"{name}: this is not a Stable Diffusion 1.x checkpoint: there is no UNet among its "
        f"{len(tensors)} tensors (the first is {next(iter(tensors))[:80]!r}). {ADVICE}"
    )


def refuse_other_unets(unet: StateDict, name: str) -> None:
    """Raises CheckpointError for a UNet, in bare LDM names, that is not SD 1.x InstructPix2Pix."""
    channels = _input_channels(unet, name)
    context = next((w.shape[1] for k, w in unet.items() if k.endswith("attn2.to_k.weight")), 0)
    if any("time_stack" in k or "time_mix" in k for k in unet):
        kind = "a video checkpoint"
    elif context == 2048 or "label_emb.0.0.weight" in unet:
        if channels == 8:
            raise CheckpointError(
                f"{name}: this is an SDXL InstructPix2Pix or CosXL Edit checkpoint, which this "
                "loader cannot use yet. Load a Stable Diffusion 1.5 InstructPix2Pix checkpoint."
            )
        kind = "an SDXL checkpoint"
    elif context == 1024:
        kind = "a Stable Diffusion 2.x checkpoint"
    elif channels == 4:
        kind = "a text-to-image checkpoint (its UNet takes 4 channels)"
    elif channels == 9:
        kind = "an inpainting checkpoint (its UNet takes 9 channels)"
    elif channels != 8:
        kind = f"a checkpoint of another kind (its UNet takes {channels} channels)"
    else:
        return
    raise CheckpointError(f"{name}: this is {kind}. {ADVICE}")


def _input_channels(unet: StateDict, name: str) -> int:
    first = unet.get("input_blocks.0.0.weight")
    if first is None or first.ndim != 4:
        raise CheckpointError(f"{name}: the UNet in this file has no first layer. {ADVICE}")
    return first.shape[1]


def _refuse(tensors: StateDict, name: str, kinds: tuple[tuple[tuple[str, ...], str], ...]) -> None:
    for signs, kind in kinds:
        if any(sign in key for key in tensors for sign in signs):
            raise CheckpointError(f"{name}: this is {kind} {ADVICE}")
