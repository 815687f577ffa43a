"""What a file is, read from its header without torch, in one plain sentence.

The loader and `ip2p doctor` share it, so what one calls an editor the other loads.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from .families import SD21, SDXL, Family, UNetSigns, family_of
from .outline import Outline, OutlineError, read_outline

Shapes = Mapping[str, tuple[int, ...]]

UNET = "model.diffusion_model."
EMA = "model_ema."
EMA_UNET = "model_ema.diffusion_model"  # EMA names have no further dots

ADVICE = (
    "Load an InstructPix2Pix checkpoint, such as instruct-pix2pix-00-22000.safetensors "
    "(its UNet takes 8 channels)."
)
TO_CORE = "ComfyUI's own nodes load it; this pack edits with InstructPix2Pix models only."

# What a part of one tensor's name gives away, the most telling first: what it is, what to do.
_TELLING = (
    (("oft_blocks", "oft_diag"), "an OFT adapter", "It goes on top of a checkpoint by LoraLoader."),
    (
        ("lora_up", "lora_down", "lora_A", "lora_B", "lora.up", "lora.down", "hada_w", "lokr_w")
        + ("lora_linear_layer",),
        "a LoRA",
        "It goes on top of a checkpoint by IP2PLoadLora.",
    ),
    (
        ("control_model.", "controlnet_", "input_hint_block", "zero_convs."),
        "a ControlNet",
        "ControlNetLoader loads it. The one for instructions (ip2p) works with an ordinary Stable "
        "Diffusion 1.5 checkpoint, not with an InstructPix2Pix one.",
    ),
    (("cc_projection.",), "a Zero123 checkpoint, which turns objects", ADVICE),
    (("ip_adapter", "image_proj."), "an IP-Adapter", "Its own nodes load it."),
    (("emb_params", "string_to_param"), "a textual inversion embedding",
     "Put it into models/embeddings and write embedding:name in the instruction."),
    (("motion_modules.",), "an AnimateDiff motion module", ADVICE),
    (("bitsandbytes__nf4", "bitsandbytes__fp4"), "quantised by bitsandbytes (4 bit)",
     "Load the version in float16, or a GGUF file by its own loader."),
    (("joint_blocks.", "joint_transformer_blocks."), "a Stable Diffusion 3 model", TO_CORE),
    (("double_blocks.",), "a Flux or Hunyuan model", TO_CORE),
    (("transformer_blocks.0.img_mod.", "transformer_blocks.0.txt_mod."), "a Qwen-Image model",
     TO_CORE),
    (("body.0.block1.", "adapter.body."), "a T2I-Adapter", "ControlNetLoader loads it."),
)  # fmt: skip
_PARTS = (
    (("decoder.conv_in.", "taesd_decoder."), "a VAE alone", "VAELoader loads it."),
    (
        ("text_model.encoder.", "text_model.embeddings.", "transformer.resblocks."),
        "a text encoder alone",
        "CLIPLoader loads it.",
    ),
)
# Pipelines of other architectures, by a part of the class in their model_index.json.
_PIPELINES = (
    ("StableDiffusion3InstructPix2Pix", "an UltraEdit pipeline (Stable Diffusion 3)", ADVICE),
    ("StableDiffusion3", "a Stable Diffusion 3 pipeline", TO_CORE),
    ("Marigold", "a Marigold pipeline, which estimates depth", ADVICE),
    ("Flux", "a Flux pipeline", TO_CORE),
    ("QwenImage", "a Qwen-Image pipeline", TO_CORE),
)


@dataclass(frozen=True)
class Sign:
    """What a file is.

    family  that it edits with; None for a file that does not edit
    what    the kind, after "this is"
    advice  what to do with it, a sentence, "" where it can be loaded
    """

    family: Family | None
    what: str
    advice: str = ""


def look(path: Path) -> Sign | None:
    """What a file or a diffusers folder is; None where its format does not tell without loading.

    Raises OutlineError for a damaged file, OSError where there is none.
    """
    outline = read_outline(path)
    if outline is None:
        return None
    return recognise(outline)


def recognise(outline: Outline) -> Sign:
    """What a checkpoint of these tensors is."""
    shapes = outline.shapes
    for part, what, advice in _PIPELINES:
        if part in outline.pipeline:
            return Sign(None, what, advice)
    if not shapes:
        return Sign(None, "a file without tensors", ADVICE)
    if told := _telling(shapes, _TELLING):
        return told
    if _is_hypernetwork(shapes):
        return Sign(None, "a hypernetwork", "HypernetworkLoader puts it on top of a checkpoint.")
    unet = unet_signs(shapes)
    if unet is None:
        return _telling(shapes, _PARTS) or Sign(
            None,
            "not a Stable Diffusion checkpoint: there is no UNet among its "
            f"{len(shapes)} tensors (the first is {next(iter(shapes))[:80]!r})",
            ADVICE,
        )
    return _recognise_unet(unet, shapes)


def unet_signs(shapes: Shapes) -> UNetSigns | None:
    """The signs of the UNet among these tensors, in any naming; None where there is no UNet."""
    first = next((shapes[name] for name in _FIRST_LAYER if name in shapes), None)
    if first is None:
        return None
    names = [name for name in shapes if not name.startswith(("first_stage", "conditioner."))]
    context = _first_shape(shapes, names, ("attn2.to_k.weight", "attn2to_kweight"))
    entry = _first_shape(shapes, names, ("1.proj_in.weight", "1proj_inweight", ".proj_in.weight"))
    return UNetSigns(
        channels=first[1] if len(first) == 4 else 0,
        context=context[1] if len(context) == 2 else 0,
        has_size=any(name.endswith(_SIZE_LAYER) for name in names),
        linear=len(entry) == 2,
    )


_FIRST_LAYER = (
    f"{UNET}input_blocks.0.0.weight",
    f"{EMA_UNET}input_blocks00weight",
    "input_blocks.0.0.weight",
    "conv_in.weight",
)
_SIZE_LAYER = ("label_emb.0.0.weight", "label_emb00weight", "add_embedding.linear_1.weight")


def _recognise_unet(unet: UNetSigns, shapes: Shapes) -> Sign:
    family = family_of(unet)
    if any("time_stack" in name or "time_mix" in name for name in shapes):
        return Sign(None, "a video checkpoint", ADVICE)
    if not unet.channels:
        return Sign(None, "a damaged checkpoint: its UNet has no first layer", ADVICE)
    if unet.channels == 8:
        kind = "CosXL Edit" if "edm_vpred.sigma_max" in shapes else "InstructPix2Pix"
        return Sign(family, f"{kind} ({family.title})")
    if family is SDXL:
        what = "an SDXL checkpoint"
    elif family is SD21:
        what = "a Stable Diffusion 2.x checkpoint"
    elif unet.channels == 4:
        what = "a text-to-image checkpoint"
    elif unet.channels == 9:
        what = "an inpainting checkpoint"
    else:
        what = "a checkpoint of another kind"
    return Sign(None, f"{what} (its UNet takes {unet.channels} channels)", ADVICE)


def _telling(
    names: Iterable[str], kinds: tuple[tuple[tuple[str, ...], str, str], ...]
) -> Sign | None:
    for signs, what, advice in kinds:
        if any(sign in name for name in names for sign in signs):
            return Sign(None, what, advice)
    return None


def _is_hypernetwork(shapes: Shapes) -> bool:
    """A1111's: a pair of small networks for each width of text, under the width as a name."""
    return any(name.split(".")[0].isdigit() and ".linear." in name for name in shapes)


def _first_shape(shapes: Shapes, names: list[str], endings: tuple[str, ...]) -> tuple[int, ...]:
    return next((shapes[name] for name in names if name.endswith(endings)), ())


__all__ = ["ADVICE", "OutlineError", "Sign", "look", "recognise", "unet_signs"]
